"""Networks in several files, as the agent runs them."""

import json
import re
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from devices.agent import agent
from tests.devices.agent.conftest import agent_of
from tests.devices.agent.test_agent import SETTINGS, Clock, replies_to
from tests.devices.conftest import Request, micro_images, micro_segments


@pytest.fixture
def segments(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"segment{number}.onnx" for number in range(len(micro_segments()))]
    for path, content in zip(paths, micro_segments(), strict=True):
        path.write_bytes(content)
    return [str(path) for path in paths]


def test_files_run_one_after_another(segments: list[str]) -> None:
    """Numbers may come as JSON writers of other languages give them."""
    first, later = (onnxruntime.InferenceSession(path) for path in segments[:2])
    image = np.random.default_rng(3).standard_normal((1, 3, 32, 32), np.float32)
    maps, _ = first.run(None, {"images": image})
    expected = [output.ravel().tolist() for output in later.run(None, {"previous_maps": maps})]
    run = {"command": "run", "models": segments[:2], "threads": 1.0, "seed": 3.0}
    (reply,) = replies_to({"id": 1, **run})
    for output, wanted in zip(reply["outputs"], expected, strict=True):
        assert output == pytest.approx(wanted, rel=1e-5, abs=1e-6)


def test_a_chain_is_measured_whole(segments: list[str]) -> None:
    """Its last file would fail, which a first one alone does not."""
    measure = {"command": "measure", **SETTINGS}
    sound, alone, cut = replies_to(
        {"id": 1, **measure, "models": segments},
        {"id": 2, **measure, "models": segments[:1]},
        {"id": 3, **measure, "models": [segments[0], segments[2]]},
    )
    assert sound["runs"] == alone["runs"] == 5
    assert not cut["ok"]
    assert "previous_maps" in cut["error"]


def test_an_image_keeps_its_least_time(segments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter_ns", clock)
    np.save(tmp_path / "images.npy", micro_images(2))
    steps = iter([7, 5, 3, 9, 4, 6])

    class Fake:
        def __init__(self, request: Request, thresholds: list[float]) -> None:
            assert thresholds == [0.5]
            self.image = micro_images(1)

        def run(self) -> tuple[int, list[object]]:
            step = next(steps)
            clock.now_ns += step * 10**6
            return step % 2, [np.array([[0.0, 1.0]])]

    monkeypatch.setattr(agent, "Chain", Fake)
    request = {"thresholds": [0.5], "images": str(tmp_path / "images.npy"), "passes": 3}
    reply = agent_of(Path("/nowhere")).stream(request)
    assert (reply["latencies_ms"], reply["ways"], reply["classes"]) == ([3.0, 5.0], [0, 0], [1, 1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"thresholds": [0.5]}, "one threshold less"),
        ({"thresholds": "no"}, "ValueError"),
        ({"models": []}, r"1 to 64 files .* but got 0 and \[0\.5, 0\.5\]"),
        ({"models": ["none"] * 65}, "1 to 64 files"),
        ({"passes": 0}, "`passes` must be a number of at least 1, but got 0"),
        ({"images": "doubles.npy"}, r"5000 float32 \(3, 32, 32\) at most: float64"),
        ({"images": "one.npy"}, r": float32 \(3, 32, 32\)"),
        ({"images": "small.npy"}, r": float32 \(2, 3, 1, 1\)"),
        ({"images": "pickle.npy"}, "Python objects"),
        ({"images": "missing.npy"}, "No such file"),
        ({"threads": 1000}, "`threads` must be at most"),
    ],
)
def test_a_stream_that_does_not_fit_is_refused(
    segments: list[str], tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    arrays = {"images": micro_images(2), "doubles": np.zeros((1, 3, 32, 32)), "one": micro_images(1)[0]}
    arrays |= {"small": micro_images(2)[:, :, :1, :1], "pickle": np.array([object()])}
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    stream = {"command": "stream", "models": segments, "thresholds": [0.5, 0.5], "threads": 1, "passes": 1}
    request = stream | {"images": "images.npy"} | changes
    request["images"] = str(tmp_path / str(request["images"]))
    reply = agent_of(Path("/nowhere")).answer(json.dumps({"id": 1, **request}))
    assert reply is not None
    assert not reply["ok"]
    assert re.search(message, str(reply["error"])), reply["error"]
