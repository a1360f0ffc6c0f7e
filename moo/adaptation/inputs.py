"""What networks of a run are adapted with, checked before anything is written. Start with `adaptation_inputs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from devices.configuration import Precision, RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.cost_tables.family import CostTables
from moo import events
from moo.adaptation.config import AdaptFrontConfig
from moo.deployment.finished_run import FinishedRun
from moo.storage.record import RunRecord
from search_space.boundary.text import command_line
from search_space.litert.flat_model import schema


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AdaptationInputs:
    """What networks of a run are adapted with."""

    config: AdaptFrontConfig
    run: FinishedRun
    record: RunRecord
    tables: CostTables
    """Of the run, as measured networks have corrected them."""
    configurations: tuple[RuntimeConfiguration, ...]
    """That are searched, the base first."""
    energy: EnergyObjective
    """That is minimised."""
    tell: events.Listener
    passing_ms: Mapping[RuntimeConfiguration, float] = field(default_factory=dict)
    """What passing an exit takes besides its head, where boards have measured it: for one configuration of those that
    differ in their clock alone."""

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """That networks are searched in."""
        return tuple(dict.fromkeys(one.precision for one in self.configurations))

    @property
    def most_slowdown(self) -> float | None:
        """By how much the way past all exits may take longer than the network as it is, as a share; None for any."""
        return None if self.config.max_slowdown is None else self.config.max_slowdown / 100

    @property
    def images(self) -> int:
        """Of the selection split."""
        return len(self.run.splits.selection)


def adaptation_inputs(
    config: AdaptFrontConfig, run: FinishedRun, record: RunRecord, tell: events.Listener
) -> AdaptationInputs:
    """What the networks of a run are adapted with.

    Raises:
        ValueError: if nothing of the run is trained, it has no cost table for a configuration that is named, LiteRT
            is not installed where that is one, or the energy needs an idle power that is not known.
    """
    archive = record.archive
    if not any(entry.trained is not None for entry in archive.entries):
        raise ValueError(
            f"the networks of a run must be trained to get exits, but those of {str(run.folder.path)!r} are not; train "
            f"them first: {command_line(['python', 'scripts/train_front.py', str(run.folder.path)])}"
        )
    configurations = config.configurations_among(archive.configurations)
    if any(one.runtime == "litert" for one in configurations):
        try:
            schema()
        except ValueError as error:
            raise ValueError(f"{error} Or adapt without it: `--runtime onnxruntime`.") from None
    energy = config.energy_among(run.config)
    tables = archive.tables
    assert tables is not None, "a run that has ended has cost tables"
    for configuration in configurations:
        energy.table(tables[configuration])
    return AdaptationInputs(
        config=config,
        run=run,
        record=record,
        tables=tables,
        configurations=configurations,
        energy=energy,
        tell=tell,
    )
