"""What docs/exported_files.md shows for ncnn, where its packages are installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from search_space.onnx_files import random_weights, to_onnx
from search_space.spaces import space_named

DOCUMENT = Path(__file__).parents[2] / "docs" / "exported_files.md"


@pytest.mark.slow
@pytest.mark.parametrize(("stored", "most"), [("fp16=0", 1e-5), ("fp16=1", 1e-2)])
def test_the_recipe_gives_the_same_logits(tmp_path: Path, stored: str, most: float) -> None:
    pytest.importorskip("ncnn", reason="`ncnn` is not installed: run `pip install pnnx ncnn`")
    program = shutil.which("pnnx", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("`pnnx` is not installed: run `pip install pnnx ncnn`")
    graph = space_named("fbnet-micro").graph(
        ("k3_e1_g2", "k5_e6", "skip", "k3_e3", "skip", "k5_e1_g2", "k3_e6", "skip")
    )
    model = to_onnx(graph, random_weights(graph, np.random.default_rng(0)))
    (tmp_path / "model.onnx").write_bytes(model)
    subprocess.run([program, "model.onnx", stored, "inputshape=[1,3,32,32]f32"], cwd=tmp_path, check=True)
    (snippet,) = re.findall(r"```python\n(import ncnn\n.*?)```", DOCUMENT.read_text(), re.S)
    done = subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = re.fullmatch(r"logits differ by (\S+) of the largest\n", done.stdout)
    assert found
    assert float(found[1]) < most
