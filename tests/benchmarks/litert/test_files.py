import pytest

from benchmarks.litert.files import FilesConfig, measured

pytest.importorskip("ai_edge_litert", reason="`ai-edge-litert` is not installed: run `pip install ai-edge-litert`")


def test_all_is_timed() -> None:
    (one, _) = measured(FilesConfig(space="fbnet-micro").quickened())
    assert min(one.write_litert, one.write_onnx, one.fp32_litert, one.fp32_onnx, one.int8_litert, one.int8_onnx) > 0
