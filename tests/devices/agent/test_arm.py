"""The agent as it runs on a 64-bit Arm board, under emulation: see arm_emulation.sh for how to set that up."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from devices.agent.agent import Agent, Clocks
from devices.agent.device import AGENT_PATH
from devices.agent.host import HostDevice, HostLink
from devices.channel import Channel
from devices.measurement import MeasureSettings
from devices.quantization import quantized
from search_space.litert.conversion import litert_file
from search_space.litert.files import to_litert
from search_space.onnx_files import random_weights, to_onnx
from search_space.reference_networks import baseline_graph
from search_space.spaces import space_named
from tests.search_space.litert.interpreters import trained_like

EMULATION = Path(os.environ.get("ARM_EMULATION", "/nowhere"))
QEMU = shutil.which("qemu-aarch64-static")
SECONDS = 300.0
"""Time for one reply: emulation is some 200 times slower than a processor."""

pytestmark = [
    pytest.mark.arm,
    pytest.mark.skipif(
        QEMU is None or not (EMULATION / "root" / "usr" / "bin" / "python3").exists(),
        reason="needs qemu-user-static and the folder ARM_EMULATION that tests/devices/arm_emulation.sh makes",
    ),
]


def emulated(*arguments: Path | str) -> list[str]:
    """The command that runs Python on the emulated board."""
    root = EMULATION / "root"
    variables = f"PYTHONPATH={EMULATION / 'wheels'}"
    command = [QEMU, "-cpu", "cortex-a76", "-L", root, "-E", variables, root / "usr/bin/python3", *arguments]
    return [str(part) for part in command]


@pytest.fixture(scope="module")
def models() -> dict[str, bytes]:
    graph = space_named("fbnet-micro").graph(("k3_e6", "k5_e3", "k3_e1_g2", "skip") * 2)
    model = to_onnx(graph, random_weights(graph, np.random.default_rng(0)))
    return {"fp32": model, "int8": quantized(model)}


@pytest.fixture(scope="module")
def arm_agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel]:
    """A channel to the agent on the emulated board."""
    link = HostLink(emulated(AGENT_PATH))
    channel = link.start()
    yield channel
    channel.end()
    link.close()


def outputs_of(request: dict[str, object], channel: Channel | None = None) -> npt.NDArray[np.float64]:
    if channel is None:
        fields: Mapping[str, Any] = Agent(Path("/"), Clocks(Path("/"))).run(request)
    else:
        fields = channel.request("run", SECONDS, **request).fields
    outputs: npt.NDArray[np.float64] = np.concatenate(fields["outputs"])
    return outputs


def test_it_knows_what_it_runs_on(arm_agent: Channel) -> None:
    reply = arm_agent.request("describe", SECONDS)
    assert reply.text("model").startswith("Raspberry Pi")
    assert "aarch64" in reply.text("os")
    # Neither firmware nor an x86 counter tells it there, and cpufreq only what was asked for.
    assert reply.fields["clock_mhz"] is None


@pytest.mark.parametrize("seed", [0, 1])
def test_outputs_equal_those_of_this_machine(
    arm_agent: Channel, models: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(models["fp32"])
    request = {"model": str(path), "threads": 1, "seed": seed}
    expected, got = outputs_of(request), outputs_of(request, arm_agent)
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_litert_gives_what_it_gives_on_this_machine(
    arm_agent: Channel, models: dict[str, bytes], tmp_path: Path, precision: str
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(litert_file(models[precision]))
    for seed in (0, 1):
        request = {"model": str(path), "threads": 1, "seed": seed}
        expected, got = outputs_of(request), outputs_of(request, arm_agent)
        assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("name", ["mobilenet-v2-0.35", "mobilenet-v3-small", "efficientnet-lite0", "condensenet-86"])
def test_published_networks_in_litert_give_what_they_give_on_this_machine(
    arm_agent: Channel, tmp_path: Path, name: str
) -> None:
    graph = baseline_graph(name, input_size=32, classes=10)
    path = tmp_path / "model.tflite"
    path.write_bytes(to_litert(graph, trained_like(graph)))
    request = {"model": str(path), "threads": 1, "seed": 0}
    expected, got = outputs_of(request), outputs_of(request, arm_agent)
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max()


def test_the_board_says_which_litert_it_has(arm_agent: Channel) -> None:
    assert arm_agent.request("describe", SECONDS).text("litert").startswith("ai-edge-litert 2.")


def test_int8_runs_there_too(arm_agent: Channel, models: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(models["int8"])
    request = {"model": str(path), "threads": 1, "seed": 0}
    expected, got = outputs_of(request), outputs_of(request, arm_agent)
    assert np.corrcoef(expected, got)[0, 1] > 0.95


def test_a_device_measures_there(models: dict[str, bytes], tmp_path: Path) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexec " + " ".join(f"'{part}'" for part in emulated()) + ' "$@"\n')
    script.chmod(0o755)
    settings = MeasureSettings(warmup_runs=0, min_runs=2, max_runs=2, min_seconds=0.0, timeout_seconds=SECONDS)
    with HostDevice(settings, python=str(script)) as device:
        measurement = device.measure(models["fp32"])
    assert measurement.latency_ms > 0
    assert measurement.before.temperature_c == 51.5
    assert measurement.before.governor == "ondemand"
