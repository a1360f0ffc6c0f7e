"""The program that is handed over, with segments for LiteRT."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from devices.configuration import RuntimeConfiguration
from evaluation.early_exits.files import segment_outcomes
from evaluation.splits import Splits
from moo.adaptation.handover.folder import write_adaptive
from tests.moo.adaptation.handed_over import EXITS, dataset_of, exported_network, point_of
from tests.moo.adaptation.test_run import alone, check_answers, command
from tests.moo.conftest import TINY

pytest.importorskip("ai_edge_litert", reason="`ai-edge-litert` is not installed: run `pip install ai-edge-litert`")


def test_segments_of_litert_answer_as_those_of_onnxruntime_without_that(tmp_path: Path, splits: Splits) -> None:
    exported = exported_network(splits)
    kinds = {one.precision: RuntimeConfiguration(runtime="litert", precision=one.precision) for one in exported}
    points = [
        point_of(one, 0.4, latency_ms=2.0 + place, configuration=kinds[one.precision])
        for place, one in enumerate(exported)
    ]
    points.sort(key=lambda point: (point.objectives, point.configuration.label))
    write_adaptive(tmp_path / "adaptive", points, exported, dataset_of(splits), TINY)
    some = splits.selection
    answers = alone(sys.executable, tmp_path / "adaptive", some, len(points), refused=["onnxruntime"])
    in_fp32 = next(number for number, point in enumerate(points) if point.configuration == kinds["fp32"])
    check_answers({"0": answers[str(in_fp32)]}, [points[in_fp32]], exported, some, splits)
    confidences = {number: [answer[2] for answer in given] for number, given in answers.items()}
    expected = segment_outcomes(exported[1].models, EXITS, some, splits).confidence_XN
    nearest_N = np.abs(expected - np.array(confidences[str(1 - in_fp32)])).min(0)
    assert np.median(nearest_N) < 0.03, "8 bits for 7, and otherwise the same"
    answer = command(tmp_path / "adaptive", "--list").stdout
    assert "litert 1t fp32" in answer
