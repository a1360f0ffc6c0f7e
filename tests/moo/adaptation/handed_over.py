"""A network with early exits that was handed over, for tests alone. Start with `exported_network`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from devices.configuration import Precision, RuntimeConfiguration
from evaluation.early_exits.files import ExportedSegments, export_segments
from evaluation.early_exits.policy import judged
from evaluation.splits import Splits
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.origin import SearchDataset, SplitSizes
from search_space.exits import Exit
from search_space.onnx_files import random_weights
from search_space.segments import branched_graph
from tests.moo.adaptive_points import adaptive_point
from tests.moo.conftest import TINY

INDICES = (1, 0, 1)
OPERATORS = tuple(TINY.operators[index] for index in INDICES)
EXITS = (Exit(0, "linear"), Exit(1, "conv"))
TWO_THREADS = RuntimeConfiguration(threads=2)


def dataset_of(splits: Splits) -> SearchDataset:
    """As a run has it."""
    sizes = SplitSizes(
        weights=len(splits.weights), theta=len(splits.theta), selection=len(splits.selection), test=len(splits.test)
    )
    return SearchDataset(
        fingerprint=splits.fingerprint,
        classes=splits.class_names,
        mean=splits.mean_C,
        std=splits.std_C,
        resize=splits.resize,
        rules=splits.rules,
        images=sizes,
    )


def exported_network(
    splits: Splits, precisions: Sequence[Precision] = ("fp32", "int8"), *, seed: int = 0
) -> tuple[ExportedSegments, ...]:
    """Segments whose exits disagree, and are sure of some images and not of others."""
    rng = np.random.default_rng(seed)
    weights = random_weights(branched_graph(TINY, OPERATORS, EXITS).graph, rng)
    for name, array in weights.items():
        if name.endswith(("running_mean", "norm.bias", "classifier.bias")):
            weights[name] = rng.normal(0, 0.3, array.shape).astype(np.float32)
    return export_segments(TINY, OPERATORS, EXITS, weights, splits, precisions=precisions)


def between(confidence_N: npt.NDArray[np.float32], quantile: float) -> float:
    """A threshold midway between two confidences that are far apart, so that rounding changes no way."""
    sorted_N = np.sort(confidence_N.astype(np.float64))
    gaps_N, place = np.diff(sorted_N), int(quantile * (len(sorted_N) - 2))
    around = range(max(0, place - 3), min(len(gaps_N), place + 4))
    widest = max(around, key=lambda number: gaps_N[number])
    return float((sorted_N[widest] + sorted_N[widest + 1]) / 2)


def point_of(
    exported: ExportedSegments,
    quantile: float,
    *,
    latency_ms: float,
    configuration: RuntimeConfiguration | None = None,
    **changed: Any,
) -> AdaptivePoint:
    """A point at which about that share of images passes each exit that it comes to."""
    thresholds = tuple(between(row_N, quantile) for row_N in exported.outcomes.confidence_XN[:-1])
    result = judged(exported.outcomes, thresholds)
    point = adaptive_point(result.error, latency_ms, indices=INDICES, worst_latency_ms=9.0, exits=2)
    return replace(
        point,
        configuration=configuration or RuntimeConfiguration(precision=exported.precision),
        exits=EXITS,
        thresholds=thresholds,
        exit_shares=tuple(map(float, result.shares_X)),
        images=exported.outcomes.images,
        segment_params=exported.params,
        **changed,
    )
