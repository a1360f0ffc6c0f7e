"""The folder can be copied to a board as it is."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from devices.energy.meter_process import ROOT, server_arguments, server_files
from devices.meters.spec import MeterSpec

LATE = {"smbus2", "serial", "pynvml"}
MODULES = sorted((ROOT / "devices" / "meters").glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_import_nothing_else_of_the_project(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            top = name.split(".")[0]
            own = name == "devices.meters" or name.startswith("devices.meters.")
            late = top in LATE and node not in tree.body
            assert own or late or top in sys.stdlib_module_names, f"{path.name} imports {name}"


def test_the_files_run_alone(tmp_path: Path) -> None:
    for file in server_files():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    python = shutil.which("python3.9")
    if python is None or subprocess.run([python, "-V"], capture_output=True).returncode:
        python = sys.executable
    command = [python, "-S", *server_arguments(MeterSpec.parse("rapl:/nowhere"))]
    done = subprocess.run(
        command, input='{"id": 1, "command": "describe"}\n', capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    reply = json.loads(done.stdout)
    assert reply["ok"] is False
    assert "under /nowhere" in reply["error"]
