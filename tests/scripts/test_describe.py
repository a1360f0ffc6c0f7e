from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.describe import main
from tests.scripts.conftest import Outcome, in_process

ROOT = Path(__file__).parents[2]
CELL = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|avg_pool_3x3~0|skip_connect~1|nor_conv_1x1~2|"


def describe(*options: str) -> Outcome:
    return in_process(ROOT, "scripts/describe.py", main, *options)


def test_fbnet_a_has_the_published_counts() -> None:
    result = describe("--space", "fbnet-imagenet", "--architecture", "fbnet-a", "--json")
    assert result.returncode == 0, result.stderr
    content = json.loads(result.stdout)
    assert (content["macs"], content["params"]) == (249_921_848, 4_321_464)
    assert (content["space"], content["id"]) == ("fbnet-imagenet", "8208872427657356177677")
    assert (content["input_shape"], content["classes"]) == ([3, 224, 224], 1000)
    assert len(content["operators"]) == len(content["layers"]) == 22
    assert content["layers"][1] == {
        "name": "layer01",
        "in_channels": 16,
        "out_channels": 24,
        "stride": 2,
        "size": 112,
        "operator": "k3_e3",
        "macs": 112**2 * 16 * 48 + 56**2 * 48 * 9 + 56**2 * 48 * 24,
        "params": 16 * 48 + 48 * 9 + 48 * 24 + 2 * (48 + 48 + 24),
    }


def test_nas_bench_201_follows_its_closed_form() -> None:
    result = describe("--space", "nas-bench-201", "--architecture", CELL, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["params"] == 73_306 + 28_000 * 1 + 243_040 * 2


def test_tables() -> None:
    result = describe("--space", "fbnet-imagenet", "--architecture", "fbnet-a")
    assert result.returncode == 0, result.stderr
    assert "249,921,848" in result.stdout
    assert "layer21" in result.stdout
    assert "…" not in result.stdout


def test_a_space_alone() -> None:
    content = json.loads(describe("--space", "docs/example_space.yaml", "--classes", "3", "--json").stdout)
    assert (content["space"], content["classes"], content["num_architectures"]) == ("example", 3, 5**9)
    assert len(content["layers"]) == 9
    assert "fbnet-c" in describe("--space", "fbnet-cifar").stdout


def test_a_space_at_another_size() -> None:
    content = json.loads(describe("--space", "fbnet-micro", "--size", "96", "--json").stdout)
    assert (content["space"], content["input_shape"]) == ("fbnet-micro@96", [3, 96, 96])
    assert content["layers"][0]["size"] == 48


def test_torch_is_not_imported() -> None:
    code = "import scripts.describe, sys; print({'torch', 'ray', 'matplotlib', 'datasets'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--space", "fbnet"], "`--space` must be one of"),
        (["--space", "none.yaml"], "a space file must exist"),
        (["--space", "docs/search_spaces.md"], "`--space` must be one of"),
        (["--architecture", "fbnet-z"], "`--architecture` must be"),
        (["--architecture", "0,1"], "must have 22 operators, one a layer, but got 2"),
        (["--architecture", "none.json"], "an architecture file must exist"),
        (["--space", "nas-bench-201", "--architecture", "fbnet-a"], "must have 6 operators"),
        (["--space", "nas-bench-201", "--architecture", "|none~0|"], "a NAS-Bench-201 string must have the form"),
        (["--size", "50"], "`--size` must be a multiple of 8"),
        (["--classes", "0"], "`classes` must be a whole number of at least 1, but got 0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(options: list[str], message: str) -> None:
    assert_refused(describe(*options), message)


@pytest.mark.parametrize("text", ["stages: [", "input_size: 32", "3"])
def test_a_bad_file_is_one_line_and_exit_code_2(tmp_path: Path, text: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    assert_refused(describe("--space", str(path)), "own.yaml")


def assert_refused(result: Outcome, message: str) -> None:
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
