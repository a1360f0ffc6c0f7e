"""What the hub reads at the top of README.md: task, data set, and figures with where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from moo.analysis.errors import told_error
from moo.analysis.representatives import distinct_front
from moo.sharing.discretion import Discretion
from moo.sharing.finished import FinishedFront
from moo.sharing.front_card import weights_of
from moo.storage.archive import OperatingPoint

ENDPOINT = "https://huggingface.co"
TASK = "image-classification"
NOT_ON_HUB = "unknown"
"""Identifier of a data set that is not on the hub, as the hub's own tools write it."""


def front_metadata(run: FinishedFront, repo: str, discretion: Discretion, *, licence: str | None) -> str:
    """The metadata of a front as YAML.

    Args:
        run: that is published.
        repo: `user/name` on the hub.
        discretion: what must not go out.
        licence: by its identifier on the hub; None says nothing of it.
    """
    points = distinct_front(run.archive)
    results = [result for point in points for result in _results(run, point, repo, discretion)]
    litert = any(point.configuration.runtime == "litert" for point in points)
    card = ModelCardData(
        pipeline_tag=TASK,
        library_name="onnx",
        license=licence,
        datasets=None if run.hub_dataset is None else [run.hub_dataset],
        tags=["onnx", *(["tflite"] if litert else []), "neural-architecture-search", "pareto-front", "edge"],
        metrics=["accuracy"] if run.data.error == "plain" else None,
        model_name=repo.partition("/")[2],
        eval_results=results,
    )
    return str(card.to_yaml())


def _results(run: FinishedFront, point: OperatingPoint, repo: str, discretion: Discretion) -> Iterator[EvalResult]:
    """Accuracy, latency and energy of a point; each says in words where it comes from."""
    told, costs, label = told_error(point, run.data), point.costs, point.configuration.label
    facts = run.data.facts
    published = told.split == "test" and facts is not None and facts.test_split is not None
    split = facts.test_split if published and facts is not None else told.split
    weights = f"{weights_of(point)}, {point.configuration.precision}"
    images = "" if told.images is None else f" of {told.images} images"
    held_out = "" if published else ", held out of the training images"
    balanced = "balanced " * (told.kind == "balanced")
    yield _result(
        run,
        repo,
        split=split,
        kind="balanced_accuracy" if balanced else "accuracy",
        value=round(1 - told.error, 6),
        name=f"{balanced}accuracy of {point.id} ({label}), weights {weights}, {told.split} split{images}{held_out}",
        facts={"network": point.id, "configuration": label, "weights": weights_of(point), "images": told.images},
    )
    m = point.measurement
    board = run.archive.tables.base.board if m is None and run.archive.tables is not None else m.board if m else ""
    board = discretion.text(board)
    for kind, value, source in (
        ("latency", costs.latency_ms, costs.latency_source),
        ("energy", costs.energy_mj, costs.energy_source),
    ):
        unit, what = ("ms", kind) if kind == "latency" else ("mJ", run.archive.energy.label)
        yield _result(
            run,
            repo,
            split=split,
            kind=f"{source}_{kind}_{unit.lower()}",
            value=float(f"{value:.6g}"),
            name=f"{what} of one image in {unit}, {point.id} ({label}), {source} "
            f"{'on' if source == 'measured' else 'for'} {board or 'a board'}",
            facts={"network": point.id, "configuration": label, "source": source, "unit": unit, "board": board},
        )


def _result(
    run: FinishedFront, repo: str, *, split: str | None, kind: str, value: float, name: str, facts: dict[str, Any]
) -> EvalResult:
    return EvalResult(
        task_type=TASK,
        task_name="Image classification",
        dataset_type=run.hub_dataset or NOT_ON_HUB,
        dataset_name=run.dataset,
        dataset_split=split,
        metric_type=kind,
        metric_value=value,
        metric_name=name,
        metric_args=facts,
        source_name=repo,
        source_url=f"{ENDPOINT}/{repo}",
    )
