"""Supernets of published code, made and stepped as that code does it, from a checkout of it.

`hanna` is for https://github.com/hpnair/18663_Project_FBNet (its folder `hanna_pytorch`), `reproduction` for the
PyTorch reproduction of FBNet, https://github.com/AnnaAraslanova/FBNet, and forks that kept its form. Both run all paths
in weight and theta steps alike, and compute the gradients of both, as published. Each is to be imported in a process of
its own: their modules have common names, and what they draw, log and copy to several GPUs with is replaced where it is
not there. Start with `published_supernet`.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from search_space.boundary.text import reason_of
from search_space.spaces import FBNetSpace, Stage, space_named

Kind = Literal["weight", "theta"]
"""Of a step."""
IMAGE_SIZE, CLASSES = 32, 10
TEMPERATURE = 5.0
REPLACED = (
    "comet_ml", "data_parallel", "matplotlib", "pandas", "seaborn", "tensorboardX", "tensorflow", "termcolor", "utils",
)  # fmt: skip
"""Modules that no step needs."""


@dataclass(frozen=True)
class PublishedSupernet:
    """A supernet of published code."""

    space: FBNetSpace
    """Of the same layers, channels and strides, with FBNet's nine candidates."""
    parameters: int
    step: Callable[[Tensor, Tensor], object]
    """One step for images (N, 3, H, W) and labels (N,)."""


def published_supernet(code: str, folder: Path, kind: Kind) -> PublishedSupernet:
    """A supernet of `PUBLISHED`.

    Args:
        code: a key of `PUBLISHED`.
        folder: of its checkout.
        kind: of the steps.

    Raises:
        ValueError: if the folder has not got that code.
    """
    try:
        return PUBLISHED[code](folder, kind)
    except (ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, SyntaxError, TypeError) as error:
        raise ValueError(
            f"`--{code}` must be the folder of a checkout of that code, but {str(folder)!r} is another or of another "
            f"version: {reason_of(error)}."
        ) from error


def hanna(folder: Path, kind: Kind) -> PublishedSupernet:
    """The supernet of HANNA for CIFAR-10: 22 layers, no BatchNorm; steps are those of its `Trainer`.

    Raises:
        ValueError: if its modules are not in the folder.
    """
    blocks_module, supernet_module = _imported(folder, "candblks", "supernet")
    blocks = blocks_module.get_blocks(cifar10=True)
    layers = [block for block in blocks if isinstance(block, list)]
    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch) / "costs.txt"
        table.write_text("\n".join(" ".join(["1.0"] * max(map(len, layers))) for _ in layers))
        network = supernet_module.FBNet(
            num_classes=CLASSES, blocks=blocks, alpha=0.1, beta=1.0, gamma=0.1, delta=1.0,
            speed_f=str(table), energy_f=str(table),
        )  # fmt: skip
    network = network.train().to(_device())
    weights = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    thetas = torch.optim.Adam(network.theta, lr=0.001, betas=(0.5, 0.999), weight_decay=3e-3)
    optimizer = weights if kind == "weight" else thetas

    def step(images_NCHW: Tensor, label_N: Tensor) -> object:
        optimizer.zero_grad()
        figures = network(images_NCHW, label_N, TEMPERATURE)
        figures[0].backward()
        optimizer.step()
        return [figure.item() for figure in figures]

    depthwise = [layer[0].op[2] for layer in layers]
    shapes = [
        (layer[0].op[-1].out_channels, convolution.stride[0])
        for layer, convolution in zip(layers, depthwise, strict=True)
    ]
    return PublishedSupernet(_space(blocks[0], shapes, blocks[-1].out_channels), _count(network), step)


def reproduction(folder: Path, kind: Kind) -> PublishedSupernet:
    """The supernet of the PyTorch reproduction; steps are those of its `TrainerSupernet`.

    Where its pooling does not fit CIFAR-10's images, it is over the whole map.

    Raises:
        ValueError: if its modules are not in the folder.
    """
    tables, models = _imported(
        folder, "supernet_functions.lookup_table_builder", "supernet_functions.model_supernet"
    )  # fmt: skip
    search_space, candidates = tables.SEARCH_SPACE, tables.CANDIDATE_BLOCKS
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "table.txt"
        rows = [" ".join(["1.0"] * len(candidates)) for _ in search_space["channel_size"]]
        path.write_text("\n".join([" ".join(candidates), *rows]))
        tables.CONFIG_SUPERNET["lookup_table"]["path_to_lookup_table"] = str(path)
        network = models.FBNet_Stochastic_SuperNet(tables.LookUpTable(calulate_latency=False), cnt_classes=CLASSES)
    last = dict(network.last_stages.named_children())
    if "avg_pool_k7" in last:
        network.last_stages.avg_pool_k7 = nn.AdaptiveAvgPool2d(1)
    network = network.train().to(_device())
    thetas = [value for name, value in network.named_parameters() if "thetas" in name]
    others = [value for name, value in network.named_parameters() if "thetas" not in name]
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(others, lr=0.1, momentum=0.9, weight_decay=1e-4)
        if kind == "weight"
        else torch.optim.Adam(thetas, lr=0.01, weight_decay=5e-4)
    )
    criterion = nn.CrossEntropyLoss()

    def step(images_NCHW: Tensor, label_N: Tensor) -> object:
        optimizer.zero_grad()
        latency = torch.zeros(1, 1, device=images_NCHW.device, requires_grad=True)
        logits_NC, latency = network(images_NCHW, TEMPERATURE, latency)
        loss = 0.2 * criterion(logits_NC, label_N) * torch.log(latency**0.6)
        loss.backward()
        optimizer.step()
        return loss.item()

    stem = next(module for module in network.first.modules() if isinstance(module, nn.Conv2d))
    shapes = list(zip(search_space["channel_size"], search_space["strides"], strict=True))
    return PublishedSupernet(_space(stem, shapes, last["conv_k1"].out_channels), _count(network), step)


PUBLISHED: dict[str, Callable[[Path, Kind], PublishedSupernet]] = {"hanna": hanna, "reproduction": reproduction}


def _imported(folder: Path, *names: str) -> list[Any]:
    """Modules of a folder.

    Raises:
        ValueError: if one is not there.
    """
    for name in names:
        path = folder / f"{name.replace('.', '/')}.py"
        if not path.is_file():
            raise ValueError(f"a checkout of the published code must have {path.name}, but {str(path)!r} is not there.")
    if not torch.cuda.is_available():
        # They ask for a GPU wherever they make a tensor.
        for kind in (Tensor, nn.Module):
            kind.cuda = lambda self, *_, **__: self  # type: ignore[method-assign]
    sys.path.insert(0, str(folder))
    while True:
        try:
            return [importlib.import_module(name) for name in names]
        except ModuleNotFoundError as missing:
            if missing.name not in REPLACED:
                raise
            sys.modules[missing.name] = MagicMock(name=missing.name)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _space(stem: nn.Conv2d, shapes: Sequence[tuple[int, int]], last_channels: int) -> FBNetSpace:
    """A space of these layers (channels, stride), with FBNet's nine candidates."""
    stages: list[Stage] = []
    for channels, stride in shapes:
        if stages and stages[-1].channels == channels and stride == 1:
            stages[-1] = replace(stages[-1], layers=stages[-1].layers + 1)
        else:
            stages.append(Stage(channels=channels, layers=1, stride=stride))
    return replace(
        space_named("fbnet-cifar"), name="published", input_size=IMAGE_SIZE, classes=CLASSES,
        stem_channels=stem.out_channels, stem_stride=stem.stride[0], stages=tuple(stages), last_channels=last_channels,
    )  # fmt: skip
