from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from devices.configuration import RuntimeConfiguration
from moo.storage.adaptive_front import write_adaptive_front
from scripts.select_network import main
from tests.moo.adaptive_points import STREAMED, adaptive_point, static_point
from tests.scripts.conftest import in_process

ROOT = Path(__file__).parents[2]
ROWS = {"00": (0.05, 9.0, 40.0), "01": (0.08, 4.0, 18.0), "88": (0.4, 1.0, 5.0)}


@pytest.fixture
def run_folder(tmp_path: Path) -> Any:
    front = [
        {
            "architecture": {"space": "tiny", "id": name, "operators": ["skip", "skip"]},
            "error": error,
            "latency_ms": latency_ms,
            "energy_mj": energy_mj,
            "latency_source": "measured",
            "energy_source": "modelled",
            "coefficients": {"alpha": 1.0, "beta": 1.0, "gamma": 1.0, "delta": 1.0},
        }
        for name, (error, latency_ms, energy_mj) in ROWS.items()
    ]
    (tmp_path / "front.json").write_text(json.dumps(front))
    (tmp_path / "front" / "01").mkdir(parents=True)
    (tmp_path / "front" / "01" / "model.onnx").touch()
    return tmp_path


@pytest.fixture
def points_folder(run_folder: Any) -> Any:
    """A front of two networks in three configurations, by energy with idle power."""
    (network, _, other) = json.loads((run_folder / "front.json").read_text())
    network["architecture"]["id"] = "01"
    items: list[tuple[dict[str, Any], float, float, float, dict[str, Any]]] = [
        (network, 0.05, 9.0, 20.0, {"threads": 1, "frequency_mhz": 1500, "precision": "fp32"}),
        (network, 0.05, 4.0, 40.0, {"threads": 4, "frequency_mhz": 1500, "precision": "fp32"}),
        (network, 0.06, 3.0, 15.0, {"threads": 4, "frequency_mhz": 1000, "precision": "int8"}),
        (other, 0.4, 1.0, 5.0, {"threads": 1, "frequency_mhz": None, "precision": "int8"}),
    ]
    front = [
        {
            **item, "error": error, "latency_ms": latency_ms, "energy_mj": energy_mj, "energy_kind": "gross",
            "configuration": {"runtime": "ort", **configuration, "label": "any"},
        }
        for item, error, latency_ms, energy_mj, configuration in items
    ]  # fmt: skip
    (run_folder / "front.json").write_text(json.dumps(front))
    (run_folder / "front" / "01" / "model_int8.onnx").touch()
    return run_folder


def select(*options: Any) -> Any:
    return in_process(ROOT, "scripts/select_network.py", main, *options)


def test_of_a_search_that_has_not_ended_it_says_so(run_folder: Any) -> None:
    state = {"ended": False, "reached": "after generation 3 of 8 (24 trials)"}
    (run_folder / "state.json").write_text(json.dumps({"search": state}))
    knee, three = select(run_folder, "--knee"), select(run_folder)
    assert knee.stdout.startswith("network")
    for result in (knee, three):
        assert result.returncode == 0
        assert "The search has not ended: this is its front after generation 3 of 8 (24 trials)." in result.stderr
    assert f"python scripts/pareto_search.py --resume {run_folder}" in result.stderr


def test_the_most_accurate_within_limits_and_its_folder(run_folder: Any) -> None:
    result = select(run_folder, "--max-latency-ms", "5", "--max-energy-mj", "20")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "network        01",
        "configuration  not recorded (a run of an earlier version)",
        "error          8.0 % (selection split, inherited weights, fp32)",
        "latency        4.00 ms measured",
        "energy         18.0 mJ modelled, above idle",
        f"file           {run_folder / 'front' / '01' / 'model.onnx'}",
    ]


def test_json(run_folder: Any) -> None:
    result = select(run_folder, "--knee", "--json")
    assert (result.returncode, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "qualifies": True,
        "network": {
            "id": "01",
            "space": "tiny",
            "operators": ["skip", "skip"],
            "configuration": None,
            "precision": "fp32",
            "error": 0.08,
            "error_kind": "plain",
            "latency_ms": 4.0,
            "energy_mj": 18.0,
            "latency_source": "measured",
            "energy_source": "modelled",
            "energy_kind": "net",
            "energy_error": None,
            "error_source": "inherited",
            "error_low": None,
            "error_high": None,
            "images": None,
            "expected": None,
            "beats_guessing": None,
            "params": None,
            "same_as": None,
            "folder": str(run_folder / "front" / "01"),
            "file": str(run_folder / "front" / "01" / "model.onnx"),
        },
        "exceeded": [],
    }


def test_a_point_has_its_configuration_its_file_and_its_kind_of_energy(points_folder: Any) -> None:
    result = select(points_folder, "--max-latency-ms", "5", "--max-energy-mj", "30")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "network        01",
        "configuration  ort 4t 1000MHz int8",
        "error          6.0 % (selection split, inherited weights, int8)",
        "latency        3.00 ms measured",
        "energy         15.0 mJ modelled, with idle power",
        f"file           {points_folder / 'front' / '01' / 'model_int8.onnx'}",
    ]
    content = json.loads(select(points_folder, "--knee", "--threads", "4", "--precision", "int8", "--json").stdout)
    assert content["network"]["configuration"] == {
        "runtime": "ort", "threads": 4, "frequency_mhz": 1000, "precision": "int8", "label": "ort 4t 1000MHz int8",
    }  # fmt: skip
    assert content["network"]["energy_kind"] == "gross"
    assert content["network"]["file"] == str(points_folder / "front" / "01" / "model_int8.onnx")


@pytest.mark.parametrize(
    ("options", "latency"),
    [
        ([], "4.00 ms"),
        (["--threads", "1"], "9.00 ms"),
        (["--threads", "1", "4"], "4.00 ms"),
        (["--frequency-mhz", "1000"], "3.00 ms"),
        (["--precision", "int8", "--threads", "1"], "1.00 ms"),
        (["--precision", "int8", "fp32", "--frequency-mhz", "1000", "1500", "--threads", "4"], "4.00 ms"),
    ],
)
def test_points_are_chosen_from_the_configurations_asked_for(points_folder: Any, options: Any, latency: str) -> None:
    result = select(points_folder, "--max-latency-ms", "20", *options)
    assert result.stderr == ""
    assert f"latency        {latency} measured" in result.stdout


def test_none_within_the_limits_names_the_nearest_point(points_folder: Any) -> None:
    result = select(points_folder, "--max-latency-ms", "3", "--threads", "4", "--precision", "fp32")
    assert result.returncode == 1
    assert result.stderr == (
        "No point of 1 is within the limits; the nearest, 01 in ort 4t 1500MHz fp32, has latency 4.00 ms where "
        "3.00 ms is allowed (+33.3 %).\n"
    )


def test_a_configuration_that_the_front_lacks_is_refused(points_folder: Any) -> None:
    result = select(points_folder, "--knee", "--threads", "2")
    assert_refused(result, "must have a point in --threads 2, but its configurations are ort 1t int8, ort 1t 1500MHz")


def test_a_folder_that_is_not_there_is_said(run_folder: Any) -> None:
    assert "(not there" in select(run_folder, "--max-error", "6").stdout
    content = json.loads(select(run_folder, "--max-error", "6", "--json").stdout)
    assert (content["network"]["id"], content["network"]["folder"]) == ("00", None)


def test_none_within_the_limits_is_exit_code_1_and_the_nearest(run_folder: Any) -> None:
    limits = ("--max-latency-ms", "3.2", "--max-energy-mj", "20", "--max-error", "10")
    result = select(run_folder, *limits)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "No point of 3 is within the limits; the nearest, 01, has latency 4.00 ms where 3.20 ms is allowed (+25.0 %).\n"
    )
    result = select(run_folder, *limits, "--json")
    assert result.returncode == 1
    content = json.loads(result.stdout)
    assert (content["qualifies"], content["network"]["id"]) == (False, "01")
    assert content["exceeded"] == [{"quantity": "latency_ms", "value": 4.0, "limit": 3.2}]


def test_a_limit_on_error_below_one_per_cent_has_its_sign(run_folder: Any) -> None:
    assert select(run_folder, "--max-error", "8%").returncode == 0
    assert "where 0.5 % is allowed" in select(run_folder, "--max-error", "0.5%").stderr


def told_errors(run_folder: Any) -> None:
    """Gives the points of a front what present runs write: intervals, errors on the test split, what beats guessing."""
    first, second, third = json.loads((run_folder / "front.json").read_text())
    for item, error, beats in ((first, 0.07, True), (second, 0.1, True), (third, 0.5, False)):
        item["expected"] = {"error": error, "low": error - 0.02, "high": error + 0.03, "images": 400, "split": "test"}
        item |= {"error_low": item["error"] - 0.01, "error_high": item["error"] + 0.02, "images": 300}
        item |= {"params": 12345, "beats_guessing": beats, "same_as": None}
    twin = {**second, "error": 0.079, "latency_ms": 5.0, "same_as": {"id": "01", "configuration": None}}
    twin["architecture"] = {**second["architecture"], "id": "02"}
    (run_folder / "front.json").write_text(json.dumps([first, twin, second, third]))


def test_without_limits_there_are_three_to_choose_from(run_folder: Any) -> None:
    told_errors(run_folder)
    (run_folder / "front" / "01" / "model.onnx").write_bytes(bytes(12_300))
    result = select(run_folder)
    assert (result.returncode, result.stderr) == (0, "")
    head, *rows = [re.split(r"  +", line) for line in result.stdout.splitlines()]
    # The knee is the fastest that is better than guessing, too; "88" is faster, and is not.
    assert head == ["", "most accurate", "knee, fastest above chance"]
    assert ["network", "00", "01"] in rows
    assert ["accuracy", "93.0 % (90.0–95.0)", "90.0 % (87.0–92.0)"] in rows
    assert ["on the", "test split, inherited", "test split, inherited"] in rows
    assert ["latency", "9.00 ms measured", "4.00 ms measured"] in rows
    assert ["parameters", "12,345", "12,345"] in rows
    assert ["file size", "not there", "12 kB"] in rows
    assert result.stdout.splitlines()[-1] == f"knee, fastest above chance: {run_folder}/front/01/model.onnx"
    choices = json.loads(select(run_folder, "--json").stdout)["choices"]
    assert [choice["choice"] for choice in choices] == ["most accurate", "knee, fastest above chance"]
    assert [choice["network"]["id"] for choice in choices] == ["00", "01"]
    assert json.loads(select(run_folder, "--knee", "--json").stdout)["network"] == choices[1]["network"]


def test_a_point_says_what_to_expect_and_which_cheaper_one_is_as_good(run_folder: Any) -> None:
    told_errors(run_folder)
    lines = select(run_folder, "--max-error", "7.95").stdout.splitlines()
    assert "error          5.0 % (4.0–7.0) (selection split, inherited weights, fp32)" in lines
    assert "               7.0 % (5.0–10.0) on the test split" in lines
    text = select(run_folder, "--max-latency-ms", "5").stdout
    assert "network        02" in text
    assert "not significantly below that of 01, which costs less" in text
    text = select(run_folder, "--max-latency-ms", "1").stdout
    assert "not better than always answering the commonest class" in text


def test_a_run_whose_best_is_no_better_than_guessing_says_so(run_folder: Any) -> None:
    told_errors(run_folder)
    items = json.loads((run_folder / "front.json").read_text())
    (run_folder / "front.json").write_text(json.dumps([item | {"beats_guessing": False} for item in items]))
    text = select(run_folder).stdout
    assert "The best network is not better than always answering the commonest class" in text
    assert "fastest above chance" not in text


def test_an_error_above_its_limit_is_a_percentage(run_folder: Any) -> None:
    assert "has error 5.0 % where 4.0 % is allowed (+25.0 %)" in select(run_folder, "--max-error", "4").stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--knee", "--max-error", "10"], "but got both"),
        (["--max-latency-ms", "-1"], "`max_latency_ms > 0` must hold"),
        (["--max-energy-mj", "nan"], "`max_energy_mj > 0` must hold"),
        (["--max-error", "101"], "`0 < --max-error <= 100` must hold (per cent), but got '101'"),
        (["--max-error", "nan"], "`0 < --max-error <= 100` must hold"),
        (["--max-error", "few"], "must be a number of per cent, as in 12.5, but got 'few'"),
        (["--max-error", "0.125"], "which may be a share: write 12.5 for a share, or 0.125% if you mean so little"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(run_folder: Any, options: Any, message: str) -> None:
    assert_refused(select(run_folder, *options), message)


def test_bad_folders_are_one_line_and_exit_code_2(run_folder: Any, tmp_path: Path) -> None:
    assert_refused(select(tmp_path / "none", "--knee"), "is no folder")
    path = run_folder / "front.json"
    path.write_text(path.read_text()[:100])
    assert_refused(select(run_folder, "--knee"), "must be JSON")
    path.unlink()
    assert_refused(select(run_folder, "--knee"), "must hold a front.json")


def test_nothing_heavy_is_imported() -> None:
    code = "import scripts.select_network, sys; print({'torch', 'ray', 'matplotlib', 'pymoo'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.fixture
def adapted(run_folder: Any) -> Any:
    """A run whose first network has two points with exits, in two configurations, and whose last has none."""
    quick = RuntimeConfiguration(threads=4, precision="int8")
    points = [
        adaptive_point(0.1, 4.0, 8.0, worst_latency_ms=6.0, test_error=0.12, static_error=0.09, streamed=STREAMED),
        adaptive_point(
            0.2, 2.0, 6.0, worst_latency_ms=3.0, exits=2, configuration=quick, thresholds=(0.5, 0.75),
            exit_shares=(0.5, 0.25, 0.25),
        ),
        static_point(0.3, 2.5, 5.0, indices=(2, 2, 2)),
    ]  # fmt: skip
    write_adaptive_front(run_folder / "front_adaptive.json", points)
    (run_folder / "front" / points[0].id / "adaptive").mkdir(parents=True)
    return run_folder


def test_a_policy_is_chosen_by_what_it_is_expected_to_take(adapted: Any) -> None:
    result = select(adapted, "--adaptive", "--max-latency-ms", "5")
    assert (result.returncode, result.stderr) == (0, "")
    folder = adapted / "front" / "000" / "adaptive"
    assert result.stdout.splitlines() == [
        "network        000",
        "configuration  ort 1t fp32",
        "exits          layer 0 linear above 0.9 (60.0 %), end (40.0 %)",
        "error          10.0 % (8.0–12.0) (selection split, fp32)",
        "               12.0 % on the test split",
        "               9.0 % where no image leaves early",
        "latency        4.00 ms expected, 6.00 ms in the worst case, modelled",
        "energy         8.00 mJ expected, modelled ± 25 %, above idle",
        "streamed       4.10 ms measured, the mean of 500 images",
        f"folder         {folder}",
        f"run it         python {folder}/run.py photo.jpg --point 0",
    ]


def test_in_the_worst_case_an_image_passes_all_exits(adapted: Any) -> None:
    result = select(adapted, "--adaptive", "--worst-case", "--max-latency-ms", "5")
    assert (result.returncode, result.stderr) == (0, "")
    assert "exits          layer 0 linear above 0.5 (50.0 %), layer 1 linear above 0.75 (25.0 %), end (25.0 %)" in (
        result.stdout
    )
    assert result.stdout.splitlines()[-1].endswith("run.py photo.jpg --point 1")
    result = select(adapted, "--adaptive", "--worst-case", "--max-latency-ms", "2", "--threads", "4")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "No point of 1 is within the limits; the nearest, 000 in ort 4t int8, has worst-case latency 3.00 ms where "
        "2.00 ms is allowed (+50.0 %).\n"
    )
    result = select(adapted, "--adaptive", "--max-latency-ms", "1")
    assert "the nearest, 000 in ort 4t int8, has expected latency 2.00 ms" in result.stderr


def test_a_network_without_exits_is_its_file(adapted: Any) -> None:
    (adapted / "front" / "888").mkdir()
    (adapted / "front" / "888" / "model.onnx").touch()
    lines = select(adapted, "--adaptive", "--max-energy-mj", "5").stdout.splitlines()
    assert lines[2] == "exits          none"
    assert "latency        2.50 ms, modelled" in lines
    assert lines[-1] == f"file           {adapted}/front/888/model.onnx"
    content = json.loads(select(adapted, "--adaptive", "--max-energy-mj", "5", "--json").stdout)
    assert (content["network"]["file"], content["network"]["command"]) == (lines[-1].split()[-1], None)
    assert content["network"]["number"] is None


def test_json_has_all_of_an_adaptive_point(adapted: Any) -> None:
    point = json.loads((adapted / "front_adaptive.json").read_text())[0]
    del point["seal"]
    result = select(adapted, "--adaptive", "--max-error", "15", "--json")
    content = json.loads(result.stdout)
    assert (content["qualifies"], content["exceeded"]) == (True, [])
    folder = adapted / "front" / "000" / "adaptive"
    assert content["network"] == point | {
        "id": "000",
        "number": 0,
        "beats_guessing": None,
        "folder": str(folder),
        "file": None,
        "command": f"python {folder}/run.py photo.jpg --point 0",
    }
    content = json.loads(select(adapted, "--adaptive", "--worst-case", "--max-latency-ms", "1", "--json").stdout)
    # The network as it is comes nearest, by the latency of its worst case.
    assert content["exceeded"] == [{"quantity": "worst_latency_ms", "value": 2.5, "limit": 1.0}]


def test_three_adaptive_points_to_choose_from(adapted: Any) -> None:
    head, *rows = [re.split(r"  +", line) for line in select(adapted, "--adaptive").stdout.splitlines()]
    assert head == ["", "most accurate, knee", "fastest"]
    assert ["exits", "1, taken by 60.0 %", "2, taken by 75.0 %"] in rows
    assert ["worst case", "6.00 ms modelled", "3.00 ms modelled"] in rows
    assert rows[-1][0] == f"fastest: python {adapted}/front/000/adaptive/run.py photo.jpg --point 1"
    choices = json.loads(select(adapted, "--adaptive", "--json").stdout)["choices"]
    knee = json.loads(select(adapted, "--adaptive", "--knee", "--json").stdout)["network"]
    assert knee in [choice["network"] for choice in choices]


def test_a_run_that_was_not_adapted_is_one_line_that_says_how(run_folder: Any) -> None:
    result = select(run_folder, "--adaptive", "--knee")
    assert_refused(result, f"make them by `python scripts/adapt_front.py {run_folder}`")


def test_the_worst_case_needs_adaptive(run_folder: Any) -> None:
    assert_refused(select(run_folder, "--worst-case", "--knee"), "`--worst-case` must stand with `--adaptive`")


def test_a_damaged_adaptive_front_is_one_line(adapted: Any) -> None:
    path = adapted / "front_adaptive.json"
    whole = path.read_text()
    path.write_text(whole.replace('"error": 0.1,', '"error": 0.01,'))
    assert_refused(select(adapted, "--adaptive", "--knee"), "do not match its `seal`")
    path.write_text(whole[:200])
    assert_refused(select(adapted, "--adaptive", "--knee"), "must be JSON")
    assert_refused(select(adapted, "--adaptive", "--knee"), "have adapt_front.py write it anew")


def assert_refused(result: Any, message: Any) -> None:
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
