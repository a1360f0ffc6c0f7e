"""The configurations that a board is profiled in unless the user names others. Start with `default_configurations`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from devices.configuration import PRECISIONS, RuntimeConfiguration, configurations_of
from devices.device import Device
from devices.errors import BoardRefusedError
from devices.measurement import Board
from search_space.graphs import Graph, GraphBuilder
from search_space.litert.flat_model import schema
from search_space.onnx_files import random_weights, to_onnx

logger = logging.getLogger(__name__)

THREADS = (1, 2, 4)
CLOCKS = 3
"""Most clocks: the lowest, one in the middle, the highest."""
PI_5_MODELS = ("raspberry pi 5", "raspberry pi 500", "raspberry pi compute module 5")
PI_5_LEAST_MHZ = 1500
"""A Raspberry Pi 5 lists clocks from 1000 MHz on, but runs at 1500 MHz there."""


def default_configurations(board: Board, *, shares_host: bool) -> tuple[RuntimeConfiguration, ...]:
    """One thread and more, fp32 and int8, and a board's clocks; the base first.

    On this machine that is one thread and one for each core, at the governor's clock. On a board it is one, two and
    four threads, as far as there are cores, and at most three of the clocks that can be set and are really run.

    Args:
        board: as it describes itself.
        shares_host: whether it is this machine.
    """
    cores = board.cores or 1
    if shares_host:
        return configurations_of(tuple(sorted({1, cores})), (None,), PRECISIONS)
    threads = tuple(number for number in THREADS if number <= cores)
    return configurations_of(threads, _clocks(board) or (None,), PRECISIONS)


def settable_configurations(
    device: Device, configurations: tuple[RuntimeConfiguration, ...]
) -> tuple[RuntimeConfiguration, ...]:
    """The same, at the governor's clock alone where the board may not set its clock, or runs another one.

    Raises:
        MeasurementError: if the board fails.
    """
    try:
        check_settable(device, configurations)
    except BoardRefusedError as error:
        logger.warning("clocks are left to the board's governor: %s", error)
        return configurations_of(
            tuple(dict.fromkeys(item.threads for item in configurations)),
            (None,),
            tuple(dict.fromkeys(item.precision for item in configurations)),
        )
    return configurations


def check_settable(device: Device, configurations: Sequence[RuntimeConfiguration]) -> None:
    """Check that a board sets and keeps the clocks of configurations, where they have any.

    The lowest is tried, with a model that takes next to no time.

    Raises:
        BoardRefusedError: if it may not set its clock, or runs another one.
        MeasurementError: if the board fails.
    """
    lowest = min((item for item in configurations if item.frequency_mhz), key=_mhz, default=None)
    if lowest is None:
        return
    builder = GraphBuilder((3, 8, 8))
    builder.conv("only", Graph.INPUT, 4)
    graph = builder.build()
    device.measure(to_onnx(graph, random_weights(graph, np.random.default_rng(0))), lowest)


def check_configurations(device: Device, board: Board, configurations: Sequence[RuntimeConfiguration]) -> None:
    """Check that a board can be run in the configurations that a user names, before any work.

    Args:
        device: the board.
        board: as it describes itself.
        configurations: named by the user.

    Raises:
        ValueError: if it cannot.
        MeasurementError: if the board fails.
    """
    for configuration in configurations:
        board.check(configuration)
    if any(configuration.runtime == "litert" for configuration in configurations):
        # Its files are written here.
        schema()
    try:
        check_settable(device, configurations)
    except BoardRefusedError as error:
        raise ValueError(f"`--frequency-mhz` must be a clock that {board.label} sets and keeps, but: {error}") from None


def _clocks(board: Board) -> tuple[int, ...]:
    least = PI_5_LEAST_MHZ if board.model.lower().startswith(PI_5_MODELS) else 0
    real = [mhz for mhz in board.frequencies_mhz if mhz >= least]
    if len(real) <= CLOCKS:
        return tuple(reversed(real))
    middle = (real[0] + real[-1]) / 2
    nearest = min(reversed(real[1:-1]), key=lambda mhz: abs(mhz - middle))
    return (real[-1], nearest, real[0])


def _mhz(configuration: RuntimeConfiguration) -> int:
    return configuration.frequency_mhz or 0
