"""Any network of timm (https://github.com/huggingface/pytorch-image-models), where that is installed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evaluation.data.published import quiet
from evaluation.pretrained.provenance import Pretrained
from search_space.boundary.text import reason_of
from search_space.graphs import Graph
from search_space.onnx_files import INPUT_NAME

TIMM = "timm:"
PRETRAINED_SUFFIX = "-pretrained"
"""What ends the name of a pre-trained network among baselines."""
_OPSET = 17


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TimmNetwork:
    """A network that timm builds and fetches the weights of; implements `PretrainedNetwork`."""

    id: str
    name: str
    """As timm knows it."""
    about: Pretrained

    def module(self, classes: int) -> nn.Module:
        """See `PretrainedNetwork.module`."""
        import timm

        module: nn.Module = timm.create_model(self.name, pretrained=True, num_classes=classes)
        return module

    def graph(self, classes: int) -> Graph | None:
        """None: it is a module of timm."""

    def onnx(self, module: nn.Module) -> bytes:
        """See `PretrainedNetwork.onnx`."""
        return exported(module, self.about.input_size)


def timm_network(name: str) -> TimmNetwork | str:
    """A network of timm, its weights fetched where they are not here yet; or why it is not to be had, and what to do.

    Args:
        name: `timm:` and the name of a model, with or without the tag of its weights.
    """
    model = name.removeprefix(TIMM)
    try:
        import timm
    except Exception as error:
        # A torchvision that does not fit torch fails with errors of many kinds.
        reason = reason_of(error, most=120)
        return f"timm cannot be imported ({reason}); type: pip install timm torchvision"
    try:
        with quiet("timm", "huggingface_hub"):
            module = timm.create_model(model, pretrained=True)
        config: dict[str, Any] = timm.data.resolve_model_data_config(module)
    except Exception as error:
        reason = reason_of(error, most=160)
        return f"timm cannot give {model!r} with weights ({type(error).__name__}: {reason}); see timm.list_pretrained()"
    about = Pretrained(
        source=f"timm {model}",
        input_size=int(config["input_size"][1]),
        mean=tuple(float(value) for value in config["mean"]),
        std=tuple(float(value) for value in config["std"]),
    )
    return TimmNetwork(
        id=f"timm-{model.replace('/', '-').replace(':', '-')}{PRETRAINED_SUFFIX}", name=model, about=about
    )


def exported(module: nn.Module, size: int) -> bytes:
    """The ONNX file of any PyTorch classifier, by tracing it; the batch size is free.

    Args:
        module: in evaluation mode, on the CPU.
        size: height and width of its images in pixels.
    """
    with tempfile.TemporaryDirectory(prefix="pi-pareto-nas-onnx-") as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module,
            (torch.zeros(1, 3, size, size),),
            path,
            input_names=[INPUT_NAME],
            output_names=["logits"],
            dynamic_axes={INPUT_NAME: {0: "batch"}, "logits": {0: "batch"}},
            opset_version=_OPSET,
            # The newer exporter needs a further package, onnxscript.
            dynamo=False,
        )
        return path.read_bytes()
