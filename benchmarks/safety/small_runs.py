"""Runs as small as they can be, with every kind of file, and what the commands do with them, in this process.

Start with `make_runs`; each function of `READERS` gives what must stay the same.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.numpy

from devices.configuration import BASE
from devices.profiling.journal import JournaledDevice
from devices.replay import ReplayDevice
from evaluation.splits import Splits
from evaluation.training.config import TrainConfig
from evaluation.training.folder import TrainFolder
from evaluation.training.job import EpochDone, StepDone, TrainingJob
from evaluation.training.loop import TrainRecord
from evaluation.training.run import prepare_training, read_weights, run_training
from moo import events
from moo.adaptation.points import joint_front, static_points
from moo.analysis.adaptive_selection import read_adaptive_candidates
from moo.analysis.selection import read_front
from moo.config import SearchConfig
from moo.deployment.config import TrainFrontConfig
from moo.deployment.finished_run import open_run, record_of
from moo.deployment.outputs import write_retrained
from moo.deployment.plan import check_trainings, front_trainings
from moo.deployment.training import train_networks
from moo.execution.backend import InProcessBackend
from moo.search.loop import find_front, run_search
from moo.search.outputs import front_json
from moo.search.preparation import prepare
from moo.storage.adaptive_front import write_adaptive_front
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import read_state
from search_space.architectures import parse_architecture
from search_space.catalogue import any_space_named
from search_space.onnx_files import random_weights, to_onnx

SPACE = """\
name: small
input_size: 8
stem: {channels: 8, stride: 2}
stages: [{channels: 8, layers: 2, stride: 1}]
last_channels: 8
operators: [k3_e1, k5_e3, skip]
"""
Reader = Callable[[Path], Any]
OutcomeT = TypeVar("OutcomeT")


class StoppedError(Exception):
    """Stands for a kill."""


class SerialTrainer:
    """Trains one network after another in this process; implements `moo.execution.backend.Trainer`."""

    def __init__(self, splits: Splits) -> None:
        self._splits = splits

    def train(
        self, jobs: Sequence[tuple[TrainingJob[OutcomeT], bytes | None]]
    ) -> Iterator[tuple[str, StepDone | EpochDone | OutcomeT]]:
        """See `moo.execution.backend.Trainer.train`."""
        for job, state in jobs:
            for event in job.events(self._splits, state=state):
                yield job.name, event

    def close(self) -> None:
        """Nothing to stop."""


def make_runs(folder: Path) -> None:
    """Make, in a folder, runs that are `finished` and trained, `begun`, at `pretraining`; a `training`; a `journal`."""
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(SPACE)
    config = _config(folder, "finished")
    _search(config)
    trained(folder / "finished")
    _write_adaptive(folder / "finished")
    _search(dataclasses.replace(_config(folder, "begun"), generations=3), until=events.GenerationStarted, number=3)
    _search(
        dataclasses.replace(_config(folder, "pretraining"), pretrain_epochs=2), until=events.PretrainEpoch, number=1
    )
    run_training(prepare_training(_train_config(folder), on_loading=_nothing))
    journal(folder / "journal")


def resumed(path: Path) -> Any:
    """The front that `pareto_search --resume` ends with."""
    saved = RunFolder(path).read_settings()
    return _search(dataclasses.replace(saved, resume=str(path), out=None))


def started_from(path: Path) -> Any:
    """The front that `pareto_search --from` ends with."""
    config = dataclasses.replace(
        _config(path.parent, "from"), from_run=str(path), generations=1, pretrain_epochs=None, pretrain_batch=None
    )
    preparation = prepare(config, on_loading=_nothing)
    archive = find_front(preparation, InProcessBackend(preparation.setup), _nothing)
    return _plain(front_json(archive))


def trained(path: Path) -> Any:
    """What `train_front` ends with; the same networks again where all of them were trained."""
    config = TrainFrontConfig(run=str(path), epochs=1, batch_size=64, fine_tune=True, measure=False)
    run = open_run(path, dataset=None, on_loading=_nothing)
    with closing(record_of(run)) as record:
        trainings = front_trainings(run, record.archive, config)
        check_trainings(trainings)
        networks = train_networks(run, trainings, lambda: SerialTrainer(run.splits), record, [_board()], _nothing)
        write_retrained(run, record.archive, record.store, dict[str, Sequence[TrainRecord]]())
    front = sorted((path / "front").glob("*/*.onnx"))
    return [
        [dataclasses.replace(one, seconds=0.0, files=()) for one in networks],
        [(file.precision, file.error) for one in networks for file in one.files],
        [file.read_bytes() for file in front],
    ]


def selected(path: Path) -> Any:
    """What `select_network` chooses from."""
    return read_front(path), read_state(RunFolder(path)).ended


def selected_adaptive(path: Path) -> Any:
    """What `select_network --adaptive` chooses from."""
    return read_adaptive_candidates(path)


def described(path: Path) -> Any:
    """What `describe --architecture` describes: each network of a front, from its file."""
    space = any_space_named(str(_space(path)))
    return [parse_architecture(space, str(file)).id for file in _of_each(path, "architecture.json")]


def handed_on(path: Path) -> Any:
    """What `train_architecture --weights` starts from: the weights of each network of a front."""
    space = any_space_named(str(_space(path)), classes=10)
    found = []
    for file in _of_each(path, "weights.safetensors"):
        architecture = parse_architecture(space, file.parent.name)
        weights = read_weights(file, space.graph(architecture.operators))
        found.append({name: value.tolist() for name, value in weights.items()})
    return found


def trained_on(path: Path) -> Any:
    """What `train_architecture --resume` ends with."""
    saved = TrainFolder(path).read_settings()
    config = dataclasses.replace(saved, resume=str(path), out=None)
    result, _ = run_training(prepare_training(config, on_loading=_nothing))
    weights = safetensors.numpy.load((path / "weights.safetensors").read_bytes())
    return dataclasses.replace(result, seconds=0.0), {name: v.tolist() for name, v in weights.items()}


def journal(path: Path) -> Any:
    """Latencies of two networks on a board that remembers."""
    space = any_space_named(str(_space(path)))
    device = JournaledDevice.open(_board(), path / "board.jsonl")
    found = []
    for operators in (("k3_e1", "skip"), ("k5_e3", "k3_e1")):
        graph = space.graph(operators)
        model = to_onnx(graph, {name: value * 0 for name, value in _zeros(graph).items()})
        found.append(device.measure(model, BASE).latency_ms)
    return found


READERS: Mapping[str, tuple[Reader, ...]] = {
    "finished/config.json": (resumed, trained, started_from),
    "finished/search.sqlite": (resumed, trained, started_from),
    "finished/cost_table.json": (resumed, trained),
    "finished/front.json": (selected, trained),
    "finished/front_adaptive.json": (selected_adaptive,),
    "finished/state.json": (selected, trained),
    "finished/checkpoints/supernet.safetensors": (resumed, started_from, trained),
    "finished/checkpoints/surrogate_*.json": (resumed,),
    "finished/checkpoints/cost_table_*.json": (resumed,),
    "finished/front/*/architecture.json": (described,),
    "finished/front/*/weights.safetensors": (handed_on,),
    "finished/trained/*/config.json": (trained,),
    "finished/trained/*/result.json": (trained,),
    "finished/trained/*/checkpoint.pt": (trained,),
    "finished/trained/*/inherited.safetensors": (trained,),
    "finished/trained/*/model.onnx": (trained,),
    "finished/trained/*/model_int8.onnx": (trained,),
    "finished/trained/*/weights.safetensors": (trained,),
    "begun/config.json": (resumed,),
    "begun/search.sqlite": (resumed,),
    "begun/cost_table.json": (resumed,),
    "begun/checkpoints/supernet.safetensors": (resumed,),
    "begun/checkpoints/surrogate_*.json": (resumed,),
    "begun/checkpoints/cost_table_*.json": (resumed,),
    "pretraining/checkpoints/pretraining.pt": (resumed,),
    "training/config.json": (trained_on,),
    "training/checkpoint.pt": (trained_on,),
    "training/result.json": (trained_on,),
    "journal/board.jsonl": (journal,),
}
"""What reads each kind of file, by its place in the folder of `make_runs`."""


def _search(config: SearchConfig, *, until: type[Any] | None = None, number: int = 0) -> Any:
    preparation = prepare(config, on_loading=_nothing)
    seen = 0

    def stop(event: events.Event) -> None:
        nonlocal seen
        seen += until is not None and isinstance(event, until)
        if until is not None and seen == number:
            raise StoppedError

    try:
        archive = run_search(preparation, InProcessBackend(preparation.setup), stop)
    except StoppedError:
        return None
    return _plain(front_json(archive))


def _config(folder: Path, name: str) -> SearchConfig:
    return SearchConfig(
        dataset="digits",
        space=str(folder / "small.yaml"),
        population=4,
        generations=2,
        supernet_generations=1,
        samples=1,
        theta_steps=2,
        theta_batch=32,
        pretrain_epochs=1,
        pretrain_batch=128,
        measure=False,
        out=str(folder / name),
    )


def _write_adaptive(path: Path) -> None:
    """Write the front that adapting trained networks ends with where exits do not pay for any."""
    run = open_run(path, dataset=None, on_loading=_nothing)
    with closing(record_of(run)) as record:
        archive = record.archive
        images = run.origin.dataset.images.selection
        points = static_points(archive, archive.configurations, energy=archive.energy, images=images)
    write_adaptive_front(run.folder.adaptive_front, joint_front(points))


def _of_each(path: Path, name: str) -> list[Path]:
    return [folder / name for folder in sorted(path.glob("front/*"))]


def _train_config(folder: Path) -> TrainConfig:
    return TrainConfig(
        architecture="k3_e1,skip",
        dataset="digits",
        space=str(folder / "small.yaml"),
        epochs=1,
        batch_size=64,
        out=str(folder / "training"),
    )


def _space(path: Path) -> str:
    return str(path.parent / "small.yaml")


def _board() -> ReplayDevice:
    return ReplayDevice(lambda model: 1.0 + sum(model[:64]) / 1000, shares_host=True)


def _plain(items: Sequence[Mapping[str, Any]]) -> Any:
    """A front without what may differ: when networks were measured, and how long they were trained."""
    return json.loads(json.dumps([{k: v for k, v in item.items() if k not in ("seal", "trained")} for item in items]))


def _zeros(graph: Any) -> Mapping[str, Any]:
    return random_weights(graph, np.random.default_rng(0))


def _nothing(*_: object) -> None:
    pass
