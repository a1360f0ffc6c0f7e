"""The agent's part for runtimes: opens ONNX files, and LiteRT files where that is installed. It lies beside the agent.

It needs only Python 3.9, numpy and onnxruntime. `versions` and `opened` are what the agent uses.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime

LITERT = "ai-edge-litert"
LITERT_MARK = b"TFL3"  # in a file, from byte 4 on


def versions() -> dict[str, str]:
    """`runtime`, ONNX Runtime, and `litert` where it is installed, each with its version."""
    found = {"runtime": f"onnxruntime {onnxruntime.__version__}"}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        found["litert"] = f"{LITERT} {importlib.metadata.version(LITERT)}"
    return found


def opened(file: str, threads: int, maps: Any, *, is_alone: bool) -> tuple[Callable[[], None], Any, list[Any]]:
    """What runs a file, its input and its outputs: arrays in float32, which every run reads and writes.

    Args:
        file: of ONNX, with channels first, or of LiteRT, with channels last; it says itself which of the two.
        threads: that it runs with.
        maps: array that is its input; None makes one, for one image.
        is_alone: whether no other file of the network runs after or before it.
    """
    with open(file, "rb") as content:
        of_litert = content.read(8)[4:] == LITERT_MARK
    return _in_litert(file, threads, maps) if of_litert else _in_onnxruntime(file, threads, maps, is_alone=is_alone)


def _in_onnxruntime(file: str, threads: int, maps: Any, *, is_alone: bool) -> tuple[Callable[[], None], Any, list[Any]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    # One thread need not wait busily; several that wait after one file would take the next one's cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(threads > 1)))
    options.add_session_config_entry("session.force_spinning_stop", str(int(not is_alone)))
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    # Bound to arrays, so that nothing is copied between files.
    source, binding, outputs = session.get_inputs()[0], session.io_binding(), []
    maps = np.empty([1, *source.shape[1:]], np.float32) if maps is None else maps
    binding.bind_input(source.name, "cpu", 0, np.float32, maps.shape, maps.ctypes.data)
    for value in session.get_outputs():
        outputs.append(np.empty([1, *value.shape[1:]], np.float32))
        binding.bind_output(value.name, "cpu", 0, np.float32, outputs[-1].shape, outputs[-1].ctypes.data)
    return lambda: session.run_with_iobinding(binding), maps, outputs


def _in_litert(file: str, threads: int, maps: Any) -> tuple[Callable[[], None], Any, list[Any]]:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise RuntimeError(f"a LiteRT file needs `{LITERT}`, but it cannot be imported: {error}") from None
    lite = Interpreter(model_path=file, num_threads=threads)
    lite.allocate_tensors()
    (source,), found = lite.get_input_details(), lite.get_output_details()
    maps = np.empty(source["shape"], np.float32) if maps is None else maps
    outputs = [np.empty(value["shape"], np.float32) for value in found]

    def run() -> None:
        lite.set_tensor(source["index"], maps)
        lite.invoke()
        for value, output in zip(found, outputs):  # noqa: B905 (Python 3.9)
            output[:] = lite.get_tensor(value["index"])

    return run, maps, outputs
