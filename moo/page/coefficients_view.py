"""What the page tells of loss coefficients: what each trial tried and gave, and the course of its inner search.

Array shapes: L layers, O operators, T steps. Start at `coefficients_json`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any

import numpy as np
from starlette.requests import Request
from starlette.routing import Route

from dnas.inner_search import StepRecord
from moo.analysis.errors import on_selection_split
from moo.config import WITHOUT_COEFFICIENTS
from moo.formatting import cost, percent, percent_within, short
from moo.page.answers import NotThereError, answering, taking
from moo.page.cells import Cell, hover, network_link, table_json
from moo.page.dials import NAMES, Dials, costs_text, settings_of, tuple_text
from moo.page.folders import Runs, run_named
from moo.page.opened import OpenedRun, looking_at, opened
from moo.page.settings import PageSettings
from moo.page.tries import Tries
from moo.search.proposals import bounds_of
from moo.storage.store import StoredTrial, read_store
from moo.trials import CoefficientTrial
from search_space.boundary.text import last_line, one_line

Json = dict[str, Any]
MOST_FRAMES = 200
"""Steps of an inner search that a film shows."""
WITHOUT = (
    "This run searches architectures themselves (--method architectures): there are no coefficients to look at, and no "
    "dials to turn."
)
LEAST_EVALUATED = 2
"""Networks that a surrogate can be fitted to."""
MOST_ROWS = 500
"""Of the table of trials."""
HEADS = (
    "trial", "generation", *NAMES, "configuration", "network", "error", "latency", "energy", "searched on",
    "on the front",
)  # fmt: skip
WEIGHTS = ("alpha", "gamma")
"""Searched, and shown, on a logarithmic scale."""


def coefficients_json(run: OpenedRun) -> Json:
    """Bounds of the coefficients, and all trials of the run that have some."""
    if run.config.method in WITHOUT_COEFFICIENTS:
        return {"nothing": WITHOUT}
    trials = list(_done(run))
    return {
        "no_dials": why_no_dials(run),
        "dials": [
            {"name": name, "low": low, "high": high, "logarithmic": name in WEIGHTS and low > 0}
            | dict(zip(("symbol", "meaning"), NAMES[name], strict=True))
            for name, (low, high) in asdict(bounds_of(run.config)).items()
        ],
        "configurations": [one.label for one in run.archive.configurations],
        "trials": trials,
        "table": table_json("Trials", HEADS, map(_row, trials[:MOST_ROWS])),
        "title": f"{len(trials) if len(trials) <= MOST_ROWS else f'{MOST_ROWS} of {len(trials)}'} trials as a table",
        "failed": list(_failed(run)),
    }


def why_no_dials(run: OpenedRun) -> str | None:
    """Why there is nothing that could answer dials; None where there is."""
    if len(run.archive) < LEAST_EVALUATED:
        return (
            "There are no dials yet: what answers them is a surrogate, fitted to networks that were evaluated, and "
            f"there must be {LEAST_EVALUATED} of them."
        )
    return None


def course_json(run: OpenedRun, trial_id: int) -> Json:
    """The course of a trial's inner search: probabilities of operators, shape (T, L, O), and expected figures.

    Raises:
        NotThereError: if the trial is not there, or has searched no theta.
    """
    stored = run.trials.get(trial_id)
    if stored is None or not isinstance(stored.trial, CoefficientTrial) or stored.objectives is None:
        raise NotThereError(f"trial {trial_id} has searched no theta on the supernet")
    with closing(read_store(run.folder.store, as_of_now=True)) as store:
        course = store.theta(trial_id)
    steps = len(course.records)
    frames = np.unique(np.linspace(0, steps - 1, min(steps, MOST_FRAMES)).round().astype(int)).tolist()
    return {
        "trial": trial_id,
        "operators": run.origin.space.operators,
        "steps": [frame + 1 for frame in frames],
        "probabilities": np.round(course.probs_TLO[frames].astype(np.float64), 3).tolist(),
        "records": [asdict(course.records[frame]) for frame in frames],
        "told": [f"Step {frame + 1} of {steps}: {_record_text(course.records[frame])}" for frame in frames],
    }


def _record_text(record: StepRecord) -> str:
    latency, energy = (cost(record.latency_ms, "ms", "modelled"), cost(record.energy_mj, "mJ", "modelled"))
    return f"loss {short(record.loss)}, expected latency {latency}, expected energy {energy}."


def _done(run: OpenedRun) -> Iterator[Json]:
    archive, on_front = run.archive, {(point.id, point.configuration) for point in run.front}
    for number, stored in run.trials.items():
        coefficients = stored.trial.coefficients
        if coefficients is None or stored.architecture_id is None or stored.objectives is None:
            continue
        entry, configuration = archive[stored.architecture_id], stored.trial.configuration or archive.base
        error = archive.searched_error(entry, configuration)
        costs = archive.searched_costs(entry, configuration)
        told = on_selection_split(entry.error if error is None else error, archive.data)
        interval, trial = told.interval, _trial(number, stored)
        figures = {
            "latency_ms": costs.latency_ms,
            "latency_source": costs.latency_source,
            "energy_mj": costs.energy_mj,
            "energy_source": costs.energy_source,
        }
        text = percent(told.error) if interval is None else percent_within(told.error, interval.low, interval.high)
        named, network = f"trial {number}: {trial['tuple']}", entry.architecture.id
        yield {
            **trial,
            **figures,
            "network": network,
            "error": told.error,
            "error_text": text,
            "on_front": (network, configuration) in on_front,
            "told": hover(named, network, f"error {text} (inherited)", costs_text(figures)),
        }


def _row(trial: Json) -> list[Cell]:
    return [
        f"{trial['id']}",
        f"{trial['generation']}",
        *(short(trial[name]) for name in NAMES),
        trial["configuration"] or "",
        network_link(trial["network"]),
        trial["error_text"],
        cost(trial["latency_ms"], "ms", trial["latency_source"]),
        cost(trial["energy_mj"], "mJ", trial["energy_source"]),
        "supernet" if trial["on_supernet"] else "surrogate",
        "yes" if trial["on_front"] else "no",
    ]


def _failed(run: OpenedRun) -> Iterator[Json]:
    for number, stored in run.trials.items():
        if stored.objectives is None and stored.trial.coefficients is not None:
            yield _trial(number, stored) | {"reason": one_line(last_line(stored.traceback or "") or "no traceback")}


def _trial(number: int, stored: StoredTrial) -> Json:
    trial = stored.trial
    assert trial.coefficients is not None, "trials without coefficients are left out"
    return {
        "id": number,
        "generation": trial.generation + 1,
        "on_supernet": isinstance(trial, CoefficientTrial),
        "configuration": None if trial.configuration is None else trial.configuration.label,
        "tuple": tuple_text(trial.coefficients),
        **asdict(trial.coefficients),
    }


def routes(settings: PageSettings) -> list[Route]:
    """Of coefficients and courses."""
    runs = Runs(settings.runs)

    def course(request: Request) -> Json:
        number = str(request.path_params["trial"])
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise NotThereError(f"there is no trial {number!r}")
        return course_json(opened(run_named(runs, request)), int(number))

    dials, tries = Dials(), Tries(settings)

    def answer(request: Request) -> Json:
        run = opened(run_named(runs, request))
        if (why := why_no_dials(run)) is not None:
            raise NotThereError(why)
        return dials.answer(run, settings_of(run, request.query_params))

    def tried(request: Request) -> Json:
        return {"tries": tries.listed(opened(run_named(runs, request)))}

    def try_out(request: Request, given: Any) -> Json:
        run = opened(run_named(runs, request))
        if not isinstance(given, dict):
            raise ValueError("dials must be sent as an object.")
        return tries.start(run, settings_of(run, given))

    def coefficients(run: OpenedRun) -> Json:
        return coefficients_json(run) | {"can_try": bool(settings.trying)}

    place = "/api/runs/{run:path}/-/coefficients"
    return [
        Route(place, answering(looking_at(runs, coefficients))),
        Route(f"{place}/courses/{{trial}}", answering(course)),
        Route(f"{place}/answer", answering(answer)),
        Route(f"{place}/tries", answering(tried)),
        Route(f"{place}/tries", taking(try_out), methods=["POST"]),
    ]
