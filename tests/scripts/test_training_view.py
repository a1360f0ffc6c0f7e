"""Trainings in the terminal."""

import io

from rich.console import Console

from evaluation.training.job import EpochDone
from evaluation.training.loop import TrainRecord
from moo.deployment.training import BoardWent, FileMeasured, TrainingEnded, TrainingFailed, TrainingMoved
from moo.measurement.queue import BoardState, Measured
from moo.storage.trained_network import DeployedFile, TrainedNetwork
from scripts.training_view import TrainingView

FILES = (DeployedFile("fp32", "model.onnx", 1e-6, 0.8, 0.25), DeployedFile("int8", "model_int8.onnx", 0.1, 0.79, 0.26))
NETWORK = TrainedNetwork("012", False, 0.25, 0.8, 0.95, 2.5, 61.0, False, 1000, 100, FILES)
RECORD = TrainRecord(1, 1.5, 0.7, 0.1)


def shown(*happenings, terminal):
    stream = io.StringIO()
    with TrainingView(Console(file=stream, force_terminal=terminal, width=140, no_color=True)) as view:
        view.loading(1, 2)
        for happening in happenings:
            view.show(happening)
            view._progress.refresh()
    return stream.getvalue(), view.records


def test_ends_failures_and_measurements_are_lines():
    text, records = shown(
        TrainingMoved("012", 3, 10),
        TrainingEnded(NETWORK, (RECORD,)),
        FileMeasured("012", Measured("012/int8", None, "it crashed")),
        TrainingFailed("210", "[/red] [enforce fail at alloc.cpp]"),
        BoardWent(BoardState("ssh://pi", "no route")),
        BoardWent(BoardState("ssh://pi", "")),
        terminal=False,
    )
    assert text.splitlines() == [
        "012: test top-1 80.00 %, top-3 95.00 %; in int8 79.00 %; 2.5 epochs, 61 s",
        "012/int8: not measured, it crashed",
        "210 could not be trained: [/red] [enforce fail at alloc.cpp]",
        "ssh://pi does not answer: no route",
        "ssh://pi is back",
    ]
    assert records == {"012": (RECORD,)}


def test_in_a_terminal_each_training_has_a_bar():
    text, _ = shown(TrainingMoved("012", 5, 10, EpochDone(RECORD, 5, 10, 2.0, b"")), terminal=True)
    assert "012" in text
    assert "5/10" in text
    assert "epoch 1 of 2, accuracy 70.00%" in text
