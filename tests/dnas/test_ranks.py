"""Ranks are threads in the quick tests, and processes in the slow ones; `tests/moo/execution` has them under Ray."""

from __future__ import annotations

import io
import math
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dnas.pretraining import (
    DrawForward,
    Pretraining,
    PretrainRecord,
    PretrainSettings,
    SampledPath,
    mixed_paths,
    sampled_or_largest,
    sampled_path,
)
from dnas.ranks import (
    ALONE,
    PathGradients,
    RankLostError,
    Ranks,
    interface_of,
    joined,
    opened_store,
    shared_out,
    store_at,
)
from dnas.supernets.build import build_supernet
from search_space.graphs import Conv
from search_space.spaces import FBNetSpace
from tests.dnas.conftest import ArraySource, SourceOf

T = TypeVar("T")
ADDRESS = "127.0.0.1"
SETTINGS = PretrainSettings(epochs=2, batch_size=16, label_smoothing=0.1, paths_per_step=4)
WILD = replace(SETTINGS, epochs=3, batch_size=8, lr=200.0, warmup_fraction=0.2)
"""Diverges at first."""


class ThreadRanks:
    """Ranks that are threads of this process; implements `dnas.ranks.Ranks`."""

    def __init__(self, rank: int, shelf: list[Any], meeting: threading.Barrier) -> None:
        self.rank, self.count = rank, len(shelf)
        self._shelf, self._meeting = shelf, meeting

    def gathered(self, own: Tensor) -> Tensor:
        return torch.stack(self._all(own))

    def swapped(self, parts_R: Tensor) -> Tensor:
        return torch.stack([parts_R[self.rank] for parts_R in self._all(parts_R)])

    def _all(self, own: Tensor) -> list[Tensor]:
        self._shelf[self.rank] = own.clone()
        self._meeting.wait(timeout=30)
        found = list(self._shelf)
        self._meeting.wait(timeout=30)
        return found

    def leave(self) -> None:
        """Let the others wait no longer."""
        self._meeting.abort()


def thread_ranks(count: int) -> list[ThreadRanks]:
    shelf, meeting = [None] * count, threading.Barrier(count)
    return [ThreadRanks(rank, shelf, meeting) for rank in range(count)]


def at_once(tasks: list[Callable[[], T]], ranks: list[ThreadRanks]) -> list[T]:
    """What each rank's task gives."""

    def guarded(task: Callable[[], T]) -> T:
        torch.set_num_threads(1)
        try:
            return task()
        except BaseException:
            ranks[0].leave()
            raise

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(guarded, tasks))


def new_run(space: FBNetSpace, source: ArraySource, settings: PretrainSettings, **options: Any) -> Pretraining:
    torch.manual_seed(1)
    return Pretraining(build_supernet(space, "shared"), source, settings, seed=5, **options)


def trained(run: Pretraining) -> tuple[list[PretrainRecord], list[Tensor]]:
    """Records of all epochs, and weights and momenta at the end."""
    records = []
    while not run.done:
        records.append(run.run_epoch())
    momenta = [run.optimizer.state[parameter]["momentum_buffer"] for parameter in run.supernet.parameters()]
    return records, [*run.supernet.state_dict().values(), *momenta]


def assert_same(one: list[Tensor], other: list[Tensor]) -> None:
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("forward", [sampled_path, mixed_paths, sampled_or_largest(0.5)])
@pytest.mark.parametrize("count", [2, 3])
def test_weights_depend_on_paths_and_not_on_ranks(
    space: FBNetSpace, easy_source: SourceOf, forward: DrawForward, count: int
) -> None:
    """Bit for bit, also where ranks have different numbers of paths, or none in an epoch's last step of 96 images."""
    source, ranks = easy_source(96), thread_ranks(count)
    runs = [new_run(space, source, SETTINGS, forward=forward, ranks=rank) for rank in ranks]
    found = at_once([partial(trained, run) for run in runs], ranks)
    records, weights = trained(new_run(space, source, SETTINGS, forward=forward))
    for records_of_rank, weights_of_rank in found:
        assert records_of_rank == records
        assert_same(weights_of_rank, weights)


def test_all_ranks_go_back_together_where_training_diverges(space: FBNetSpace, easy_source: SourceOf) -> None:
    source, ranks = easy_source(96), thread_ranks(2)
    records, weights = trained(new_run(space, source, WILD))
    assert any(record.divergence is not None for record in records)
    runs = [new_run(space, source, WILD, ranks=rank) for rank in ranks]
    for records_of_rank, weights_of_rank in at_once([partial(trained, run) for run in runs], ranks):
        assert records_of_rank == records
        assert_same(weights_of_rank, weights)


def test_a_run_goes_on_with_another_number_of_ranks(space: FBNetSpace, easy_source: SourceOf) -> None:
    source, ranks = easy_source(96), thread_ranks(2)
    run = new_run(space, source, SETTINGS)
    run.run_epoch()
    buffer = io.BytesIO()
    torch.save(run.state(), buffer)
    records, weights = trained(run)
    runs = [new_run(space, source, SETTINGS, ranks=rank) for rank in ranks]
    for resumed in runs:
        buffer.seek(0)
        resumed.load_state(torch.load(buffer, weights_only=True))
    for records_of_rank, weights_of_rank in at_once([partial(trained, run) for run in runs], ranks):
        assert records_of_rank == records
        assert_same(weights_of_rank, weights)


def layers() -> nn.ModuleList:
    """Three layers, one of which is laid out in memory as images are."""
    torch.manual_seed(2)
    parts = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 1)])
    return parts.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


PATHS = ((0,), (0, 1), (1,), (0,), (0,))
"""Which layers each path uses: none the last one."""


def kept(parts: nn.ModuleList, gradients: PathGradients, path: int) -> None:
    """One path's gradients, kept."""
    x_BCHW = torch.from_numpy(np.random.default_rng(path).normal(size=(2, 3, 5, 5))).float()
    torch.autograd.backward(sum(parts[layer](x_BCHW).square().mean() for layer in PATHS[path]))
    gradients.keep()


def shared(parts: nn.ModuleList, ranks: Ranks) -> list[Tensor | None]:
    gradients = PathGradients(list(parts.parameters()), ranks, len(PATHS))
    places = shared_out([0, 5, 1, 0, 3], ranks.count)
    for path, place in enumerate(places):
        if place.rank == ranks.rank:
            kept(parts, gradients, path)
    gradients.share(places)
    return [parameter.grad for parameter in parts.parameters()]


@pytest.mark.parametrize("count", [2, 3, 7])
def test_gradients_are_those_of_the_mean_loss_and_none_where_no_path_went(count: int) -> None:
    alone = shared(layers(), ALONE)
    whole = layers()
    losses = []
    for path, used in enumerate(PATHS):
        x_BCHW = torch.from_numpy(np.random.default_rng(path).normal(size=(2, 3, 5, 5))).float()
        losses += [whole[layer](x_BCHW).square().mean() for layer in used]
    torch.autograd.backward(sum(losses) / len(PATHS))
    for gradient, parameter in zip(alone, whole.parameters(), strict=True):
        assert (gradient is None) == (parameter.grad is None)
        if gradient is not None and parameter.grad is not None:
            torch.testing.assert_close(gradient, parameter.grad)
    assert [gradient is None for gradient in alone] == [False] * 4 + [True] * 2
    ranks = thread_ranks(count)
    for of_rank in at_once([partial(shared, layers(), one) for one in ranks], ranks):
        for gradient, expected in zip(of_rank, alone, strict=True):
            assert (gradient is None) == (expected is None)
            if gradient is not None and expected is not None:
                assert gradient.stride() == expected.stride()
                assert torch.equal(gradient, expected)


@pytest.mark.parametrize("count", [1, 2])
def test_what_no_path_of_a_step_used_keeps_its_weights_and_momentum(
    space: FBNetSpace, easy_source: SourceOf, count: int
) -> None:
    """Though it decays elsewhere, and its momentum is not zero."""
    settings = replace(SETTINGS, epochs=1, batch_size=8, paths_per_step=2, weight_decay=0.1)
    ranks: list[Any] = [ALONE] if count == 1 else list(thread_ranks(2))

    def skipping(supernet: Any, rng: np.random.Generator) -> Any:
        skip = space.operators.index("skip")
        return lambda x_BCHW: supernet.forward_path(x_BCHW, (skip, 0, 0))

    runs = [new_run(space, easy_source(16), settings, forward=skipping, ranks=rank) for rank in ranks]
    before = []
    for run in runs:
        for parameter in run.supernet.parameters():
            run.optimizer.state[parameter]["momentum_buffer"].fill_(1.0)
        before.append({name: value.clone() for name, value in run.supernet.state_dict().items()})
    at_once([run.run_epoch for run in runs], ranks) if count > 1 else runs[0].run_epoch()
    for run, weights in zip(runs, before, strict=True):
        unmoved = {name for name, value in run.supernet.named_parameters() if torch.equal(value, weights[name])}
        momenta = {
            name
            for name, value in run.supernet.named_parameters()
            if (run.optimizer.state[value]["momentum_buffer"] == 1).all()
        }
        assert unmoved == momenta
        assert any(name.startswith("blocks.0.") for name in unmoved)
        assert not any(name.startswith(("stem.", "classifier.")) for name in unmoved)


def in_process(rank: int, connection: Connection, task: Callable[[Ranks], Any]) -> None:
    """Do a task as a rank in a process of its own; the first one tells at which port the others find it."""
    torch.set_num_threads(1)
    store, port = opened_store(ADDRESS) if rank == 0 else (None, 0)
    connection.send(port)
    store = store or store_at(ADDRESS, connection.recv())
    with joined(store, rank=rank, count=2, device=torch.device("cpu"), address=ADDRESS) as ranks:
        connection.send(task(ranks))


def in_two_processes(task: Callable[[Ranks], Any]) -> list[Any]:
    """What each rank gives; None for one that died."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(2)]
    processes = [
        context.Process(target=in_process, args=(rank, theirs, task)) for rank, (_, theirs) in enumerate(pipes)
    ]
    for process, (_, theirs) in zip(processes, pipes, strict=True):
        process.start()
        theirs.close()
    port, _ = (own.recv() for own, _ in pipes)
    found = []
    for own, _ in pipes:
        own.send(port)
    for process, (own, _) in zip(processes, pipes, strict=True):
        try:
            found.append(own.recv())
        except EOFError:
            found.append(None)
        process.join()
    return found


def gradients_of_layers(ranks: Ranks) -> list[Any]:
    return [None if gradient is None else gradient.numpy() for gradient in shared(layers(), ranks)]


def loss_of_another(ranks: Ranks) -> str:
    """What a rank says when the other dies without a word."""
    if ranks.rank == 1:
        os._exit(1)
    try:
        ranks.gathered(torch.zeros(3))
    except RankLostError as error:
        return str(error)
    return "nothing"


@pytest.mark.slow
def test_processes_sum_as_one_does() -> None:
    alone = gradients_of_layers(ALONE)
    for of_rank in in_two_processes(gradients_of_layers):
        for gradient, expected in zip(of_rank, alone, strict=True):
            assert (gradient is None) == (expected is None)
            assert gradient is None or (gradient == expected).all()


@pytest.mark.slow
def test_a_rank_whose_other_one_dies_says_so_instead_of_waiting() -> None:
    said, died = in_two_processes(loss_of_another)
    assert died is None
    assert said.startswith("another process of pre-training was lost")


def test_an_interface_is_found_by_its_address() -> None:
    """Of which a machine has one that others cannot reach."""
    assert interface_of(ADDRESS) in {name for _, name in socket.if_nameindex()}
    assert interface_of("192.0.2.1") is None


def test_each_path_has_a_batch_and_an_architecture_of_its_own(space: FBNetSpace, easy_source: SourceOf) -> None:
    """No image comes twice in an epoch, and the paths of one step are drawn apart from those of another."""
    run = new_run(space, easy_source(96), replace(SETTINGS, paths_per_step=4))
    steps = [
        (len(step.places), [(x_BCHW, forward.indices) for x_BCHW, _, forward in step.batches])  # type: ignore[attr-defined]
        for step in run.steps(np.random.default_rng(0))
    ]
    assert [paths for paths, _ in steps] == [4, 2]
    images = torch.cat([x_BCHW for _, batches in steps for x_BCHW, _ in batches])
    assert len({tuple(image.tolist()) for image in images.flatten(1)}) == 96
    assert len({indices for _, batches in steps for _, indices in batches}) > 3


@pytest.mark.parametrize(
    ("works", "ranks", "loads"),
    [
        ([5, 4, 3, 2], 2, [7, 7]),
        ([9, 1, 1, 1], 2, [10, 2]),
        ([0, 0, 0, 0, 0], 2, [0, 0]),
        ([1, 8, 2, 7, 3], 3, [8, 8, 5]),
        ([4, 4], 3, [4, 4, 0]),
    ],
)
def test_paths_are_shared_out_by_their_work(works: list[int], ranks: int, loads: list[int]) -> None:
    """None has more paths than it takes, and each knows its own in order."""
    places = shared_out(works, ranks)
    own = [[path for path, place in enumerate(places) if place.rank == rank] for rank in range(ranks)]
    assert [sum(works[path] for path in paths) for paths in own] == loads
    assert max(map(len, own)) == -(-len(works) // ranks)
    for paths in own:
        assert [places[path].place for path in paths] == list(range(len(paths)))


def test_the_work_of_a_path_is_what_its_layers_compute(space: FBNetSpace) -> None:
    """By shapes of the convolutions that a network of its own has; a skip that keeps the shape computes nothing."""
    supernet = build_supernet(space, "shared")
    for index, operator in enumerate(space.operators):
        graph = space.graph((operator,) * space.num_layers)
        computed = [
            math.prod(node.shape)
            for node in graph.nodes
            if isinstance(node.operation, Conv) and node.name.startswith("layer")
        ]
        assert SampledPath(supernet, (index,) * space.num_layers).work == sum(computed)


def test_an_epoch_remains_one_of_all_images() -> None:
    settings = PretrainSettings(epochs=1, batch_size=16, passes=3, paths_per_step=4)
    assert (settings.batches_an_epoch(40), settings.steps_an_epoch(40)) == (6, 2)
    assert (settings.batches_an_epoch(9), settings.steps_an_epoch(9)) == (3, 1)


@pytest.mark.parametrize(
    ("paths", "workers", "ranks"), [(1, 8, 1), (4, 1, 1), (4, 2, 2), (3, 2, 2), (8, 8, 8), (9, 8, 5), (8, 5, 4)]
)
def test_there_are_no_more_ranks_than_it_takes(paths: int, workers: int, ranks: int) -> None:
    settings = PretrainSettings(epochs=1, paths_per_step=paths)
    assert settings.ranks(workers) == ranks
