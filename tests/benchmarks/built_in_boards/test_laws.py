import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks.built_in_boards import laws as bench
from benchmarks.built_in_boards.published_networks import published_graph
from devices.cost_tables.raspberry_pi import BUILT_IN_BOARDS
from search_space.counts import count


@pytest.fixture
def reference() -> Path:
    folder = os.environ.get("PI_PARETO_NAS_REFERENCE")
    if not folder:
        pytest.skip("needs published measurements: set PI_PARETO_NAS_REFERENCE to their folder")
    return Path(folder)


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("mobilenet", 4_231_976, 568_740_352),
        ("mobilenet_v2", 3_504_872, 300_774_272),
        ("mnasnet", 4_383_312, 314_415_872),
        ("resnet18", 11_689_512, 1_814_073_344),
        ("resnet50", 25_557_032, 4_089_184_256),
        ("efficientnet-lite0", 4_652_008, 385_187_552),
        ("efficientnet-lite4", 13_006_568, None),
        # Biases of convolutions are not counted: 3,944 and 4,224.
        ("squeezenet", 1_235_496 - 3_944, None),
        ("vgg16", 14_714_688 - 4_224, 15_346_630_656),
    ],
)
def test_graphs_have_the_published_size(name: str, params: int, macs: int | None) -> None:
    counts = count(published_graph(name))
    assert counts.params == params
    assert macs is None or counts.macs == macs


def test_widths_and_sizes_of_mobilenet_v1_are_those_of_mlperf(reference: Path) -> None:
    with (reference / "mlperf_pi4.csv").open() as file:
        rows = {row["model"].removesuffix("-quantized"): row for row in csv.DictReader(file) if row["params_analytic"]}
    for name in (name for name in bench.MLPERF_MS if name.startswith("mobilenet-v1")):
        counts, row = count(published_graph(name)), rows[name]
        # It has a class more, the background.
        features = int(1024 * float(name.split("-")[2]))
        assert counts.params + features + 1 == float(row["params_analytic"])
        assert counts.macs + features == float(row["macs_analytic"])


def test_built_in_figures_are_the_fitted_ones() -> None:
    for law in bench.laws():
        np.testing.assert_allclose(law.built_in, law.fitted, rtol=0.015)


def test_errors_for_networks_that_a_fit_did_not_see() -> None:
    threads, int8, one_factor, board = bench.laws()
    assert threads.left_out_error == pytest.approx(0.124, abs=0.002)
    assert int8.left_out_error == pytest.approx(0.080, abs=0.002)
    assert int8.worst < one_factor.worst
    assert board.left_out_error == pytest.approx(0.061, abs=0.002)
    for law in bench.laws():
        assert law.error <= law.left_out_error <= law.worst


def test_a_left_out_network_has_no_part_in_its_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = {"one": (1.0, 1.0, 2.0, 1.0), "two": (1.0, 1.0, 2.0, 1.0), "three": (1.0, 1.0, 8.0, 1.0)}
    monkeypatch.setattr(bench, "NCNN_MS", alone)
    monkeypatch.setattr(bench, "SEPARABLE_NETWORKS", tuple(alone))
    law = bench.board_law()
    # The others give the third 2, a quarter of its own; the third gives the others the root of 16, twice their own.
    assert law.left_out_error == pytest.approx((0.75 + 1 + 1) / 3)
    assert law.worst == pytest.approx(1)


def test_figures_without_a_part_in_a_fit_agree() -> None:
    checks = bench.checks()
    board = BUILT_IN_BOARDS["pi5"]
    assert checks["Pi 5 over Pi 4, TensorFlow, two networks"] == pytest.approx(board.time, rel=0.05)
    for name, key in (("pi4", "Pi 4, mean of MLPerf's and ncnn's"), ("pi5", "Pi 5, mean of ncnn's (against fp32)")):
        (factor,) = [value for check, value in checks.items() if key in check]
        scale = factor / checks["int8 over fp32 of MLPerf, 21 networks"]
        assert scale == pytest.approx(BUILT_IN_BOARDS[name].int8_scale, abs=0.01)


def test_restated_figures_are_the_published_ones(reference: Path) -> None:
    with (reference / "ncnn_raspberrypi.csv").open() as file:
        ncnn = {
            (row["device"][:14], row["num_threads"], row["model"]): float(row["min_ms"])
            for row in csv.DictReader(file)
            if row["gpu_device"] == "-1" and "Overclock" not in row["device"]
        }
    sides = [(f"Raspberry Pi {board}", threads) for board in (4, 5) for threads in ("1", "4")]
    for name, published_ms in bench.NCNN_MS.items():
        assert published_ms == tuple(ncnn[board, threads, name] for board, threads in sides)
    for board, ratios in bench.NCNN_INT8.items():
        for name, ratio in zip(("mobilenet", "mobilenet_ssd"), ratios, strict=True):
            model = f"Raspberry Pi {board[-1]}"
            assert ratio == ncnn[model, "1", f"{name}_int8"] / ncnn[model, "1", name]
    with (reference / "mlperf_pi4.csv").open() as file:
        mlperf = {
            row["model"]: float(row["p50_ms"])
            for row in csv.DictReader(file)
            if row["system"] == "rpi4coral-fan.on-tflite-v2.4.1-ruy"
        }
    for name, both_ms in bench.MLPERF_MS.items():
        assert both_ms == (mlperf[f"{name}-non-quantized"], mlperf[f"{name}-quantized"])


@pytest.mark.parametrize("options", [[], ["--json"], ["--quick"]])
def test_the_script_prints_laws_and_checks(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["laws.py", *options])
    bench.main()
    printed = capsys.readouterr().out
    if "--json" in options:
        assert set(json.loads(printed)) == {"laws", "checks"}
    else:
        assert "threads: serial share" in printed
        assert "TensorFlow" in printed
