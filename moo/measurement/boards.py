"""What a run's `--device` stands for: boards that measure, or a table of costs that somebody else measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from devices.configuration import RuntimeConfiguration
from devices.cost_tables.family import CostTables, read_cost_tables
from devices.cost_tables.raspberry_pi import built_in_tables
from devices.cost_tables.readers import read_any_cost_tables, split_table_paths
from devices.cost_tables.table_names import BUILT_IN_NAMES, is_table
from devices.device import Device
from devices.errors import MeasurementError
from devices.factory import DEVICE_NAMES, is_device_name, open_device
from devices.measurement import Board, MeasureSettings
from search_space.boundary.reading import local_path
from search_space.spaces import FBNetSpace


@dataclass(frozen=True)
class Boards:
    """Boards of one model and runtime, or none."""

    devices: tuple[Device, ...] = ()
    board: Board | None = None
    """What the boards are; None if nothing is measured."""
    tables: CostTables | None = None
    """Costs, where `--device` names tables instead of boards."""

    def close(self) -> None:
        """Free all boards."""
        for device in self.devices:
            device.close()


def open_boards(
    names: Sequence[str],
    space: FBNetSpace | None,
    settings: MeasureSettings,
    *,
    meter: str,
    measure: bool,
    configurations: Sequence[RuntimeConfiguration] | None = None,
) -> Boards:
    """The boards or the table that the user names.

    Args:
        names: `host`, `ssh://...`, `pi4`, `pi5`, or a table file.
        space: the search space, which a table must be for; may be None where no table is named.
        settings: how boards measure.
        meter: what reads their energy.
        measure: whether boards are to be asked at all; without, only their names are checked.
        configurations: as for `tables_named`.

    Raises:
        ValueError: if a name is unknown, a table does not fit, a board does not answer, or boards differ.
    """
    for name in names:
        if not (is_table(name) or is_device_name(name)):
            known = ", ".join([*DEVICE_NAMES, *sorted(BUILT_IN_NAMES)])
            raise ValueError(f"`--device` must be one of {known}, or a table of costs (.json, .txt), but got {name!r}.")
    tables = [name for name in names if is_table(name)]
    if tables and len(names) > 1:
        raise ValueError(
            f"`--device` must be several boards or one table of costs, but got {', '.join(names)}: omit the others."
        )
    if tables:
        assert space is not None, "a table of costs must be for a space"
        return Boards(tables=tables_named(tables[0], space, configurations))
    if len(set(names)) < len(names):
        raise ValueError(f"each `--device` must be given once, but got {', '.join(names)}.")
    devices: list[Device] = []
    try:
        for name in names:
            devices.append(open_device(name, settings, meter=meter if measure else "none"))
        if not measure:
            Boards(tuple(devices)).close()
            return Boards()
        boards = [_described(name, device) for name, device in zip(names, devices, strict=True)]
        _check_equal(boards)
        _check_apart(boards, devices)
    except BaseException:
        Boards(tuple(devices)).close()
        raise
    return Boards(tuple(devices), boards[0])


def open_for_profile(
    names: Sequence[str], settings: MeasureSettings, *, meter: str = "none"
) -> list[tuple[str, Device]]:
    """Boards by name that are to be profiled; they may differ.

    Raises:
        ValueError: if a name is unknown or given twice, is that of a table, or a board does not answer.
    """
    if len(set(names)) < len(names):
        raise ValueError(f"each `--device` must be given once, but got {', '.join(names)}.")
    for name in names:
        if is_table(name):
            raise ValueError(
                f"a board must be there to be profiled, but {name!r} is a table already: give it to "
                "pareto_search.py by --device."
            )
    opened: list[tuple[str, Device]] = []
    try:
        for name in names:
            opened.append((name, open_device(name, settings, meter=meter)))
            _described(*opened[-1])
    except BaseException:
        for _, device in opened:
            device.close()
        raise
    return opened


def tables_named(
    name: str, space: FBNetSpace, configurations: Sequence[RuntimeConfiguration] | None = None
) -> CostTables:
    """The tables of a built-in board, or those of a file (or of a pair LATENCY_FILE,ENERGY_FILE).

    Args:
        name: `pi4`, `pi5`, or paths.
        space: the search space, which the tables must be for.
        configurations: of a built-in board, which can be run in others than its default ones.

    Raises:
        ValueError: if a file cannot be read or is for another space, or a board has no such configuration.
    """
    if name in BUILT_IN_NAMES:
        return built_in_tables(name, space, configurations)
    latency, energy = split_table_paths(name)
    return read_any_cost_tables(local_path(latency), space, energy_path=None if energy is None else local_path(energy))


def read_run_tables(path: Path, given: Sequence[RuntimeConfiguration] | None) -> CostTables:
    """The cost tables that a run has written.

    Runs of earlier versions searched one configuration, whatever their table said that it was for.

    Args:
        path: of the file.
        given: configurations that the run's settings name.

    Raises:
        ValueError: as `devices.cost_tables.family.read_cost_tables`.
    """
    tables = read_cost_tables(path)
    return configurations_in(tables, given, boards=True) if len(tables) == 1 else tables


def configurations_in(tables: CostTables, given: Sequence[RuntimeConfiguration] | None, *, boards: bool) -> CostTables:
    """The tables of the configurations that a run searches.

    Args:
        tables: that the user names.
        given: configurations that the user names; None for all that there are tables for.
        boards: whether there are boards that measure. Then a single table that was not measured itself may start any
            single configuration: what is measured corrects it.

    Raises:
        ValueError: if there is no table for one of the configurations.
    """
    if given is None:
        return tables
    if boards and len(tables) == len(given) == 1 and tables.base.latency_source != "measured":
        only = given[0]
        runtime = tables.base.runtime if tables.base.configuration.runtime == only.runtime else only.runtime
        base = replace(
            tables.base,
            runtime=runtime,
            threads=only.threads,
            frequency_mhz=only.frequency_mhz,
            precision=only.precision,
        )
        return CostTables([base])
    return tables.only(given)


def _described(name: str, device: Device) -> Board:
    try:
        return device.describe()
    except MeasurementError as error:
        raise ValueError(f"`--device` must name a board that answers, but {name!r} does not: {error}") from None


def _check_apart(boards: Sequence[Board], devices: Sequence[Device]) -> None:
    for board, device in zip(boards, devices, strict=True):
        if len(devices) > 1 and device.shares_host:
            raise ValueError(
                f"several `--device` must be boards of their own, but {board.label} shares this machine's cores with "
                "the search: omit it."
            )


def _check_equal(boards: Sequence[Board]) -> None:
    first = boards[0]
    for board in boards[1:]:
        ours, theirs = (tuple(filter(None, (one.runtime, one.litert))) for one in (first, board))
        if (board.model, theirs) != (first.model, ours):
            raise ValueError(
                f"several `--device` must be equal boards, which share the work, but {first.label} has "
                f"{', '.join(ours)} and {board.label} has {', '.join(theirs)}: search for one after the other."
            )
