"""The profile of a board: a cost table that predicts whole networks. Start with `profile`.

Every operator is measured on its own (`devices.operator_costs`), then random whole networks, which correct the table
(`devices.calibration`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from devices.calibration import calibrated
from devices.cost_table import CostTable
from devices.device import Device, MeasurementError
from devices.journal import JournaledDevice, profile_path
from devices.measurement import Measurement, MeasureSettings
from devices.onnx_graphs import random_weights, to_onnx
from devices.operator_costs import operator_wise_table
from search_space.spaces import FBNetSpace

Progress = Callable[[int, int, str], None]

ATTEMPTS = 3
"""Measurements of a network until one is reliable."""


@dataclass(frozen=True)
class Profile:
    """What profiling a board gave. N networks, L layers."""

    table: CostTable
    """Calibrated; its `error` is that of predicting each network from all the others."""
    operator_wise: CostTable
    """The table before calibration."""
    networks_NL: npt.NDArray[np.intp]
    """Operator indices of the networks measured whole."""
    measurements: tuple[Measurement, ...]
    """Of these networks, length N."""
    predicted_ms_N: npt.NDArray[np.float64]
    """Latency of each network as predicted from all the others."""


def profile(
    device: Device,
    space: FBNetSpace,
    *,
    networks: int | None = None,
    seed: int = 0,
    on_progress: Progress = lambda done, total, name: None,
) -> Profile:
    """Measure every operator of a space and some whole networks, and make a cost table of both.

    Args:
        device: the board.
        space: the search space.
        networks: number of whole networks; by default three for each layer, and at least 30.
        seed: chooses the networks.
        on_progress: called after each measurement with the number done, the number of all, and a name.

    Raises:
        ValueError: if `networks` is below 1.
        MeasurementError: if the board fails, or throttled at every measurement of something.
    """
    count = max(30, 3 * space.num_layers) if networks is None else networks
    if count < 1:
        raise ValueError(f"`networks >= 1` must hold, but got {networks}.")
    blocks = 0

    def on_block(done: int, total: int, name: str) -> None:
        nonlocal blocks
        blocks = total
        on_progress(done, total + count, name)

    table = operator_wise_table(device, space, on_progress=on_block)
    networks_NL = random_networks(space, count, seed)
    measured = []
    for number, indices in enumerate(networks_NL.tolist()):
        measured.append(measured_network(device, space, indices))
        on_progress(blocks + number + 1, blocks + count, f"network {number + 1}")
    latency_ms = [measurement.latency_ms for measurement in measured]
    energy_mj = [measurement.energy_mj for measurement in measured]
    calibration = calibrated(table, space, networks_NL.tolist(), latency_ms, energy_mj)
    return Profile(calibration.table, table, networks_NL, tuple(measured), calibration.left_out_ms_N)


def remembered_profile(
    device: Device,
    space: FBNetSpace,
    settings: MeasureSettings,
    *,
    fresh: bool = False,
    networks: int | None = None,
    seed: int = 0,
    on_progress: Progress = lambda done, total, name: None,
) -> Profile:
    """A profile of which nothing is measured twice: what was measured before, on this board in this way, is read.

    Args:
        device: the board.
        space: the search space.
        settings: those that the device measures with.
        fresh: whether to forget what was measured before.
        networks: as for `profile`.
        seed: as for `profile`.
        on_progress: as for `profile`.

    Raises:
        ValueError: as `profile`.
        MeasurementError: as `profile`; what was measured until then is kept.
    """
    path = profile_path(device.describe(), space, settings)
    if fresh:
        path.unlink(missing_ok=True)
    journal = JournaledDevice(device, path)
    return profile(journal, space, networks=networks, seed=seed, on_progress=on_progress)


def random_networks(space: FBNetSpace, count: int, seed: int) -> npt.NDArray[np.intp]:
    """Operator indices of random networks, shape (count, L): every second one even, the others lop-sided.

    Networks whose operators are all equally likely are all of about one size. Every second network therefore draws the
    probabilities of its operators first, from a flat Dirichlet distribution: small and large ones come up as well.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7,)))
    operators = len(space.operators)
    rows = []
    for number in range(count):
        probs = np.full(operators, 1 / operators) if number % 2 else rng.dirichlet(np.ones(operators))
        rows.append(rng.choice(operators, size=space.num_layers, p=probs))
    return np.array(rows, np.intp)


def measured_network(device: Device, space: FBNetSpace, indices: list[int]) -> Measurement:
    """Cost of a whole network with random weights, measured again where it was not reliable; the quickest counts.

    Raises:
        MeasurementError: if the board fails, or throttled at every attempt.
    """
    graph = space.graph(tuple(space.operators[index] for index in indices))
    model = to_onnx(graph, random_weights(graph, np.random.default_rng(0)))
    best: Measurement | None = None
    for _ in range(ATTEMPTS):
        measurement = device.measure(model)
        if not measurement.throttled and (best is None or measurement.latency_ms < best.latency_ms):
            best = measurement
        if measurement.reliable:
            break
    if best is None:
        raise MeasurementError("the board throttled at every attempt: cool it, or give it a stronger supply.")
    return best
