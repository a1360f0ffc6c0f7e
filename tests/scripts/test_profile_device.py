from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from devices.cost_tables.cost_table import read_cost_table
from devices.cost_tables.family import read_cost_tables
from devices.meters.spec import METER_NAMES
from scripts.profile_device import ProfileConfig, main

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "profile_device.py"
SPACE = """\
name: small
input_size: 8
stem: {channels: 8, stride: 2}
stages: [{channels: 8, layers: 1, stride: 1}]
last_channels: 8
operators: [k3_e1, skip]
"""


@pytest.fixture
def profile_device(called: Any) -> Any:
    return lambda *options: called("profile_device.py", main, *options)


def started(folder: Any, *options: Any) -> Any:
    """What the script came to in a process of its own."""
    command = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def files(folder: Any) -> Any:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_help_names_all_options(profile_device: Any) -> None:
    result = profile_device("--help-all")
    assert result.returncode == 0, result.stderr
    for field in fields(ProfileConfig):
        assert f"--{field.name.replace('_', '-')}" in result.stdout
    for word in ("ssh://user@host[:port]", "docs/meters.md", "docs/search_spaces.md", "profiles/<board>-<space>.json"):
        assert word in result.stdout


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['profile_device.py', '--help']\n"
        "from scripts.profile_device import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'ray', 'matplotlib', 'onnx', 'asyncssh', 'scipy', 'datasets'}\n"
        "print(heavy & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip().endswith("set()")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--space", "fbnet"], "`--space` must be one of"),
        (["--space", "none.yaml"], "a space file must exist"),
        (["--device", "toaster"], "`--device` must be one of host, ssh://[USER@]HOST[:PORT], but got 'toaster'"),
        (["--device", "pi4"], "'pi4' is a table already: give it to pareto_search.py by --device"),
        (["--device", "own.json"], "'own.json' is a table already"),
        (["--device", "host", "--device", "host"], "each `--device` must be given once, but got host, host"),
        (["--meter", "toaster"], "toaster"),
        (["--networks", "2"], "`--networks >= 3` must hold, but got 2"),
        (["--threads", "1", "999"], ", but got 999: more threads than cores take 13 to 27 times as long"),
        (["--threads", "0"], "`threads` must be a whole number of at least 1, but got 0"),
        (["--frequency-mhz", "0"], "`frequency_mhz` must be above 0 MHz and at most 100000, but got 0"),
        (["--threads", "1", "2", "1"], "each value of `--threads` must be given once, but got 1 2 1"),
        (["--precision", "int8", "int8"], "each value of `--precision` must be given once, but got int8 int8"),
        (["--configurations", "base", "--threads", "4"], "`--configurations base` must stand alone"),
        (["--out", "tables"], "`--out` must be a .json file for one board, but got 'tables'"),
        (
            ["--device", "host", "--device", "ssh://pi@a", "--out", "own.json"],
            "`--out` must be a folder for several boards, but got 'own.json'",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2_and_nothing_is_written(
    profile_device: Any, folder: Any, options: Any, message: str
) -> None:
    result = profile_device(*options)
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert files(folder) == ["small.yaml"]


def test_a_space_without_a_supernet_is_refused(profile_device: Any, folder: Any) -> None:
    result = profile_device("--space", "nas-bench-201")
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert files(folder) == ["small.yaml"]


def test_meters_are_listed_with_what_is_missing(profile_device: Any, folder: Any) -> None:
    result = profile_device("--list-meters")
    assert result.returncode == 0, result.stderr
    lines = dict(line.split()[:2] for line in result.stdout.splitlines() if len(line.split()) > 2)
    for name in METER_NAMES:
        assert lines[name] in ("yes", "no")
    assert files(folder) == ["small.yaml"]


def test_a_board_that_does_not_answer_is_one_line(profile_device: Any, folder: Any) -> None:
    result = profile_device("--device", "ssh://nobody@127.0.0.1:1", "--space", "small.yaml", "--meter", "none")
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert "'ssh://nobody@127.0.0.1:1' does not" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert files(folder) == ["small.yaml"]


def test_bad_input_is_one_line_for_a_caller(folder: Any) -> None:
    result = started(folder, "--device", "pi4")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: a board must be there to be profiled")
    assert len(result.stderr.splitlines()) == 1


def journal_of(tmp_path: Path) -> Any:
    (path,) = (tmp_path / "cache" / "profiles").glob("*.jsonl")
    return path.read_text()


@pytest.mark.slow
def test_this_machine_is_profiled_and_the_second_time_read_from_the_cache(
    profile_device: Any, folder: Any, tmp_path: Path
) -> None:
    options = ["--space", "small.yaml", "--networks", "3", "--meter", "none", "--configurations", "base"]
    first = started(folder, *options)
    assert first.returncode == 0, first.stderr
    assert files(folder) == ["profiles/host-small.json", "profiles/host-small.png", "small.yaml"]
    table = read_cost_table(folder / "profiles/host-small.json")
    assert (table.space, table.operators, table.error.networks) == ("small", ("k3_e1", "skip"), 3)
    assert (table.latency_source, table.energy_source) == ("measured", "modelled")
    assert table.board.startswith("host (")
    with Image.open(folder / "profiles/host-small.png") as picture:
        assert picture.format == "PNG"
    for text in (
        "host: profiles/host-small.json",
        "picture: profiles/host-small.png",
        "3 networks measured whole, each predicted from the others: mean error ",
        "Search with it: python scripts/pareto_search.py --device host --space small.yaml --cost-table "
        "profiles/host-small.json --configurations base",
        "host: 1 configuration, 28 measurements, about 1 min if none was made before",
    ):
        assert text in first.stdout

    measured = journal_of(tmp_path)
    second = profile_device(*options, "--quiet", "--out", "again.json")
    assert second.returncode == 0, second.stderr
    assert journal_of(tmp_path) == measured
    again = json.loads((folder / "again.json").read_text())
    assert again == json.loads((folder / "profiles/host-small.json").read_text())
    assert len(second.stdout.splitlines()) == 3
    assert "connecting" not in second.stdout


@pytest.mark.slow
def test_several_configurations_become_one_file_and_a_table_on_the_console(profile_device: Any, folder: Any) -> None:
    options = ["--space", "small.yaml", "--networks", "3", "--meter", "none", "--passes", "1"]
    found = profile_device(*options, "--threads", "1", "2", "--precision", "fp32", "int8")
    assert found.returncode == 0, found.stderr
    tables = read_cost_tables(folder / "profiles/host-small.json")
    labels = ["ort 1t fp32", "ort 1t int8", "ort 2t fp32", "ort 2t int8"]
    assert [configuration.label for configuration in tables.configurations] == labels
    assert files(folder) == ["profiles/host-small.json", "profiles/host-small.png", "small.yaml"]
    lines = found.stdout.splitlines()
    assert "host: 4 configurations, 37 measurements, about 1 min if none was made before" in found.stdout
    head = next(number for number, line in enumerate(lines) if line.split()[:1] == ["configuration"])
    for line, label, networks in zip(lines[head + 1 :], labels, ("3", "10", "10", "10"), strict=False):
        assert line.strip().startswith(label)
        assert line.split()[len(label.split())] == networks
    assert "--cost-table profiles/host-small.json --threads 1 2 --precision fp32 int8" in found.stdout
