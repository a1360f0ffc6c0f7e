"""What a trial tries, as columns of the table `trials`, and read back from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from devices.configuration import RuntimeConfiguration
from dnas.losses import Coefficients
from moo.trials import ArchitectureTrial, CoefficientTrial, Trial


def columns_of(trial: Trial) -> dict[str, object]:
    """Columns that are known before a trial runs."""
    genes = {} if trial.coefficients is None else asdict(trial.coefficients)
    proposed = json.dumps(trial.indices) if isinstance(trial, ArchitectureTrial) else None
    label = None if trial.configuration is None else trial.configuration.label
    return {"id": trial.id, "generation": trial.generation, "proposed": proposed, "configuration": label} | genes


def trial_of_row(number: int, generation: int, *proposal: Any) -> Trial:
    """The trial that has these columns.

    Args:
        number: its id.
        generation: as it is stored.
        proposal: the four coefficients, the architecture that was proposed as it is, and the configuration.
    """
    *genes, indices, label = proposal
    configuration = configuration_of(label)
    if indices is not None:
        return ArchitectureTrial(
            id=number,
            generation=generation,
            indices=tuple(json.loads(indices)),
            coefficients=coefficients_of(genes),
            configuration=configuration,
        )
    return CoefficientTrial(number, generation, Coefficients(*genes), configuration)


@lru_cache(maxsize=1000)
def configuration_of(label: str | None) -> RuntimeConfiguration | None:
    """The configuration that a label names."""
    return None if label is None else RuntimeConfiguration.parse(label)


def coefficients_of(values: Sequence[float | None]) -> Coefficients | None:
    """The coefficients of a trial that has some."""
    known = [value for value in values if value is not None]
    return Coefficients(*known) if known else None
