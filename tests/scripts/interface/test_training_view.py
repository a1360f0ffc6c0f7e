"""Trainings in the terminal."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from devices.measurement import Measurement
from evaluation.training.job import EpochDone
from evaluation.training.loop import TrainRecord
from moo.events import (
    BoardBack,
    BoardUnreachable,
    MeasuringFailed,
    NetworkMeasured,
    StageProgress,
    TrainingFailed,
    TrainingFinished,
    TrainingProgress,
)
from moo.storage.trained_network import DeployedFile, TrainedNetwork
from scripts.interface.training_view import TrainingView

FILES = tuple(
    DeployedFile(precision=precision, path=path, logits_difference=difference, top1=top1, error=error)  # type: ignore[arg-type]
    for precision, path, difference, top1, error in (
        ("fp32", "model.onnx", 1e-6, 0.8, 0.25),
        ("int8", "model_int8.onnx", 0.1, 0.79, 0.26),
    )
)
NETWORK = TrainedNetwork(
    name="012",
    baseline=False,
    error=0.25,
    top1=0.8,
    top3=0.95,
    epochs=2.5,
    seconds=61.0,
    fine_tuned=False,
    macs=1000,
    params=100,
    files=FILES,
)
MEASUREMENT = Measurement(
    latency_ms=1.5,
    median_ms=1.5,
    iqr_ms=0.0,
    runs=50,
    energy_mj=4.0,
    latency_source="measured",
    energy_source="modelled",
    board="bench board",
    os="Linux",
    runtime="none",
    threads=1,
    date="2000-01-01T00:00:00+00:00",
    reliable=True,
)
RECORD = TrainRecord(1, 1.5, 0.7, 0.1)


def shown(*told: Any, terminal: Any) -> Any:
    stream = io.StringIO()
    with TrainingView(Console(file=stream, force_terminal=terminal, width=140, no_color=True)) as view:
        for event in (StageProgress("loading", 1, 2), *told):
            view(event)
            view._progress.refresh()
    return stream.getvalue()


def test_ends_failures_and_measurements_are_lines() -> None:
    text = shown(
        TrainingProgress("012", 3, 10),
        TrainingFinished(NETWORK, (RECORD,)),
        NetworkMeasured("012/fp32", MEASUREMENT, 1),
        MeasuringFailed("012/int8", "it crashed"),
        TrainingFailed("210", "[/red] [enforce fail at alloc.cpp]"),
        BoardUnreachable("ssh://pi", "no route"),
        BoardBack("ssh://pi"),
        terminal=False,
    )
    assert text.splitlines() == [
        "012: test top-1 80.0 %, top-3 95.0 %; in int8 79.0 %; 2.5 epochs, 61 s",
        "012/fp32: 1.50 ms (measured), 4.00 mJ (modelled)",
        "012/int8: not measured, it crashed",
        "210 could not be trained: [/red] [enforce fail at alloc.cpp]",
        "ssh://pi does not answer: no route",
        "ssh://pi is back",
    ]


def test_in_a_terminal_each_training_has_a_bar() -> None:
    text = shown(
        TrainingProgress("012", 5, 10, EpochDone(record=RECORD, step=5, total_steps=10, epochs=2.0, state=b"")),
        terminal=True,
    )
    assert "012" in text
    assert "5/10" in text
    assert "epoch 1 of 2, accuracy 70.0 %" in text
