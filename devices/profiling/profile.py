"""The profile of a board: a cost table that predicts whole networks. Start with `profile`.

Every operator is measured on its own (`operator_costs`), then random networks are measured whole, to correct the table
(`calibration`). With the table of another board, a few networks are enough (`few_shot_profile`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.cost_table import CostTable
from devices.device import Device
from devices.errors import MeasurementError
from devices.measurement import Board, Measurement, MeasureSettings, largest_error
from devices.profiling.calibration import calibrated, table_error
from devices.profiling.few_shot import FewShotPredictor, choose_networks
from devices.profiling.journal import JournaledDevice, profile_path
from devices.profiling.operator_costs import PASSES, operator_wise_table
from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import FBNetSpace

Progress = Callable[[int, int, str], None]

NETWORKS_A_LAYER = 6
"""Networks that calibrate a table, for each layer of its space."""
FEW = 10
"""Networks that the table of another board is adapted with."""
CANDIDATES = 1000
"""Random networks that these are chosen from."""

ATTEMPTS = 3
"""Measurements of a network until one is reliable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Result of profiling a board. N networks, L layers."""

    table: CostTable
    """Calibrated; its `error` is that of predicting each network from all the others."""
    operator_wise: CostTable
    """The table before calibration; for a few-shot profile, that of the other board."""
    networks_NL: npt.NDArray[np.intp]
    """Operator indices of the networks measured whole."""
    measurements: tuple[Measurement, ...]
    """Of these networks, length N."""
    predicted_ms_N: npt.NDArray[np.float64]
    """Latency of each network as predicted from all the others."""


class Profiler(Protocol):
    """A way to profile a board."""

    def __call__(
        self,
        device: Device,
        space: FBNetSpace,
        *,
        configuration: RuntimeConfiguration,
        networks: int | None,
        seed: int,
        passes: int,
        on_progress: Progress,
    ) -> Profile:
        """See `profile`."""


def profile(
    device: Device,
    space: FBNetSpace,
    *,
    configuration: RuntimeConfiguration = BASE,
    networks: int | None = None,
    seed: int = 0,
    passes: int = PASSES,
    on_progress: Progress = lambda done, total, name: None,
) -> Profile:
    """Measure every operator of a space and some whole networks, and make a cost table from both.

    Args:
        device: the board.
        space: the search space.
        configuration: how networks are run.
        networks: number of whole networks; by default six for each layer.
        seed: chooses the networks.
        passes: how often everything is measured, with all else in between; the quickest counts.
        on_progress: called after each measurement with the number done, the number of all, and a name.

    Raises:
        ValueError: if `networks` is below 1.
        MeasurementError: if the board fails, or throttled at every measurement of something.
    """
    count = NETWORKS_A_LAYER * space.num_layers if networks is None else networks
    if count < 1:
        raise ValueError(f"`networks >= 1` must hold, but got {networks}.")
    blocks = 0

    def on_block(done: int, total: int, name: str) -> None:
        nonlocal blocks
        blocks = total
        on_progress(done, total + passes * count, name)

    table = operator_wise_table(device, space, configuration=configuration, passes=passes, on_progress=on_block)
    networks_NL = random_networks(space, count, seed)
    measured = _measured_networks(
        device,
        space,
        networks_NL,
        configuration,
        passes,
        lambda done, total, name: on_progress(blocks + done, blocks + total, name),
    )
    latency_ms = [measurement.latency_ms for measurement in measured]
    energy_mj = [measurement.energy_mj for measurement in measured]
    calibration = calibrated(table, space, networks_NL.tolist(), latency_ms, energy_mj)
    return Profile(
        table=calibration.table,
        operator_wise=table,
        networks_NL=networks_NL,
        measurements=tuple(measured),
        predicted_ms_N=calibration.left_out_ms_N,
    )


def few_shot_profile(
    device: Device,
    space: FBNetSpace,
    *,
    source: CostTable,
    configuration: RuntimeConfiguration = BASE,
    networks: int | None = None,
    seed: int = 0,
    passes: int = PASSES,
    on_progress: Progress = lambda done, total, name: None,
) -> Profile:
    """Adapt the table of another board with a few networks measured whole on this one (`devices.profiling.few_shot`).

    Args:
        device: the board.
        space: the search space.
        source: the other board's table.
        configuration: how networks are run.
        networks: number of whole networks, by default 10; they are chosen without looking at any latency.
        seed: draws the 1,000 networks that they are chosen from.
        passes: as for `profile`.
        on_progress: as for `profile`.

    Returns:
        A profile whose `operator_wise` table is the other board's.

    Raises:
        ValueError: if `networks` is below 3, or the table is for another space.
        MeasurementError: if the board fails, or throttled at every measurement of a network.
    """
    count = FEW if networks is None else networks
    if count < 3:
        raise ValueError(f"`networks >= 3` must hold, but got {networks}.")
    networks_NL = networks_to_adapt_with(source, space, count, seed)
    measured = _measured_networks(device, space, networks_NL, configuration, passes, on_progress)
    return adapted_profile(
        source, space, networks_NL, measured, board=device.describe(), configuration=configuration, seed=seed
    )


def networks_to_adapt_with(
    source: CostTable, space: FBNetSpace, count: int, seed: int, *, besides: Sequence[Sequence[int]] = ()
) -> npt.NDArray[np.intp]:
    """Operator indices of the networks to measure where a table is to be adapted, shape (count, L).

    Args:
        source: the table.
        space: its search space.
        count: how many.
        seed: draws the 1,000 networks that they are chosen from.
        besides: networks that are measured in any case.
    """
    pool_NL = random_networks(space, CANDIDATES, seed)
    return pool_NL[choose_networks(source, space, pool_NL.tolist(), count, besides=besides)]


def adapted_profile(
    source: CostTable,
    space: FBNetSpace,
    networks_NL: npt.NDArray[np.intp],
    measured: Sequence[Measurement],
    *,
    board: Board,
    configuration: RuntimeConfiguration,
    seed: int,
) -> Profile:
    """A table adapted by networks that were measured whole.

    Args:
        source: the table to adapt.
        space: its search space.
        networks_NL: operator indices of the networks, at least two.
        measured: of these networks.
        board: where they were measured.
        configuration: how they were run.
        seed: of the predictor's samples.
    """
    count = len(measured)
    latency_ms = np.array([measurement.latency_ms for measurement in measured])

    def fitted(kept: list[int]) -> FewShotPredictor:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(8,)))
        return FewShotPredictor.fit(source, space, networks_NL[kept].tolist(), latency_ms[kept].tolist(), rng=rng)

    everything = list(range(count))
    predicted_N = np.zeros(count)
    for left_out in everything:
        predictor = fitted([number for number in everything if number != left_out])
        predicted_N[left_out] = predictor.predict([networks_NL[left_out].tolist()])[0][0]
    sample = measured[0]
    table = fitted(everything).adapted_table(
        board=board.label,
        runtime=board.runtime_of(configuration),
        configuration=configuration,
        power_w=mean_power_w(measured),
    )
    return Profile(
        table=replace(
            table,
            error=table_error(predicted_N, latency_ms),
            date=sample.date,
            idle_w=sample.idle_w,
            energy_error=largest_error(measurement.energy_error for measurement in measured),
        ),
        operator_wise=source,
        networks_NL=networks_NL,
        measurements=tuple(measured),
        predicted_ms_N=predicted_N,
    )


def mean_power_w(measured: Sequence[Measurement]) -> float:
    """Mean power above idle, as metered or modelled."""
    return float(np.mean([measurement.energy_mj / measurement.latency_ms for measurement in measured]))


def remembered_profile(
    device: Device,
    space: FBNetSpace,
    settings: MeasureSettings,
    *,
    method: Profiler = profile,
    configuration: RuntimeConfiguration = BASE,
    fresh: bool = False,
    networks: int | None = None,
    seed: int = 0,
    passes: int = PASSES,
    on_progress: Progress = lambda done, total, name: None,
) -> Profile:
    """A profile for which nothing is measured twice: what was measured before, on this board in this way, is read.

    Args:
        device: the board.
        space: the search space.
        settings: those of the device.
        configuration: how networks are run.
        method: `profile`, or `few_shot_profile` with its source.
        fresh: whether to forget what was measured before.
        networks: as for `profile`.
        seed: as for `profile`.
        passes: as for `profile`.
        on_progress: as for `profile`.

    Raises:
        ValueError: as the method.
        MeasurementError: as the method; what was measured by then is kept.
    """
    path = profile_path(device.describe(), space, settings)
    if fresh:
        path.unlink(missing_ok=True)
    journal = JournaledDevice.open(device, path)
    return method(
        journal,
        space,
        configuration=configuration,
        networks=networks,
        seed=seed,
        passes=passes,
        on_progress=on_progress,
    )


def random_networks(space: FBNetSpace, count: int, seed: int) -> npt.NDArray[np.intp]:
    """Operator indices of random networks, shape (count, L): every second one balanced, the others lop-sided.

    Networks whose operators are all equally likely are all about the same size. Every second network therefore first
    draws the probabilities of its operators from a flat Dirichlet distribution, so that small and large ones occur too.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    operators = len(space.operators)
    rows = []
    for number in range(count):
        probs = np.full(operators, 1 / operators) if number % 2 else rng.dirichlet(np.ones(operators))
        rows.append(rng.choice(operators, size=space.num_layers, p=probs))
    return np.array(rows, np.intp)


def _measured_networks(
    device: Device,
    space: FBNetSpace,
    networks_NL: npt.NDArray[np.intp],
    configuration: RuntimeConfiguration,
    passes: int,
    on_progress: Progress,
) -> list[Measurement]:
    """The quickest measurement of each network, in passes over all of them."""
    runs = [(configuration, indices) for indices in networks_NL.tolist()]
    names = [f"network {number + 1}" for number in range(len(runs))]
    return measured_runs(
        device, space, runs, passes, lambda done, total, number: on_progress(done, total, names[number])
    )


def measured_runs(
    device: Device,
    space: FBNetSpace,
    runs: Sequence[tuple[RuntimeConfiguration, list[int]]],
    passes: int,
    on_progress: Callable[[int, int, int], None],
) -> list[Measurement]:
    """The quickest measurement of each network in its configuration, in passes over all of them.

    Args:
        device: the board.
        space: the search space.
        runs: configuration and operator indices of each.
        passes: how often all are measured.
        on_progress: called after each measurement with the number done, the number of all, and the run's number.

    Raises:
        MeasurementError: if the board fails, or throttled at every attempt.
    """
    best: dict[int, Measurement] = {}
    count = len(runs)
    for done in range(passes * count):
        number = done % count
        configuration, indices = runs[number]
        measurement = measured_network(device, space, indices, configuration)
        if number not in best or measurement.latency_ms < best[number].latency_ms:
            best[number] = measurement
        on_progress(done + 1, passes * count, number)
    return [best[number] for number in range(count)]


def measured_network(
    device: Device, space: FBNetSpace, indices: list[int], configuration: RuntimeConfiguration = BASE
) -> Measurement:
    """Cost of a whole network with random weights, measured again if it was not reliable; the quickest counts.

    Raises:
        MeasurementError: if the board fails, or throttled at every attempt.
    """
    graph = space.graph(tuple(space.operators[index] for index in indices))
    model = to_onnx(graph, random_weights(graph, np.random.default_rng(0)))
    best: Measurement | None = None
    for _ in range(ATTEMPTS):
        measurement = device.measure(model, configuration)
        if not measurement.throttled and (best is None or measurement.latency_ms < best.latency_ms):
            best = measurement
        if measurement.reliable:
            break
    if best is None:
        raise MeasurementError("the board throttled at every attempt: cool it, or give it a stronger supply.")
    return best
