"""What docs/exported_files.md shows for ncnn, where its packages are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.deployed_model import deployed
from search_space.onnx_files import to_onnx
from tests.evaluation.test_deployed_model import GRAPH, NOTES, WEIGHTS

DOCUMENT = Path(__file__).parents[2] / "docs" / "exported_files.md"


@pytest.mark.slow
@pytest.mark.parametrize(("stored", "most"), [("fp16=0", 1e-5), ("fp16=1", 1e-2)])
def test_the_recipe_gives_the_same_logits(tmp_path: Path, stored: str, most: float) -> None:
    pytest.importorskip("ncnn", reason="`ncnn` is not installed: run `pip install pnnx ncnn`")
    program = shutil.which("pnnx", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("`pnnx` is not installed: run `pip install pnnx ncnn`")
    (tmp_path / "model.onnx").write_bytes(deployed(to_onnx(GRAPH, WEIGHTS), NOTES))
    subprocess.run([program, "model.onnx", stored], cwd=tmp_path, check=True)
    (snippet,) = re.findall(r"```python\n(import ncnn\n.*?)```", DOCUMENT.read_text(), re.S)
    done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = re.fullmatch(r"logits differ by (\S+) of the largest\n", done.stdout)
    assert found
    assert float(found[1]) < most
