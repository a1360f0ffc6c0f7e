"""No GPU is needed: PyTorch is told that there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from evaluation import accelerators
from evaluation.accelerators import (
    accelerator,
    allocator_environment,
    compute_deterministically,
    exact_float32,
    free_bytes,
    keep_to_share,
    own_device,
)
from evaluation.accelerators import (
    accelerators as count_accelerators,
)


def has(monkeypatch: pytest.MonkeyPatch, kind: str | None, *, count: int = 1) -> None:
    """Have PyTorch see a GPU of a kind, or none."""
    device = None if kind is None else torch.device(kind)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: kind is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: device)
    monkeypatch.setattr(torch, "get_device_module", lambda found: SimpleNamespace(device_count=lambda: count))


@pytest.mark.parametrize("kind", ["cuda", "xpu"])
def test_gpus_of_several_makers_are_used(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    has(monkeypatch, kind, count=3)
    assert accelerator() == own_device() == torch.device(kind)
    assert count_accelerators() == 3


def test_apples_gpu_is_used_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, "mps")
    assert accelerator() is None
    assert accelerator(apple=True) == torch.device("mps")
    assert (own_device(), count_accelerators()) == (torch.device("cpu"), 0)


def test_without_a_gpu_all_is_computed_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    has(monkeypatch, None)
    assert accelerator(apple=True) is None
    assert own_device() == torch.device("cpu")
    assert free_bytes(torch.device("cpu")) == free_bytes(torch.device("mps")) == 0


def test_pytorch_of_before_2_6_tells_of_nvidias_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "accelerator")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert accelerator() == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert accelerator() is None


def test_a_process_keeps_to_its_share_of_a_gpus_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[float] = []
    gib = 2**30
    whole = SimpleNamespace(total_memory=80 * gib)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: whole)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: kept.append(share))
    for kind, share in (("cuda", 1.0), ("cpu", 0.5), ("xpu", 0.5), ("cuda", 0.25)):
        keep_to_share(torch.device(kind), share)
    assert kept == [pytest.approx(0.25 - 0.5 / 80)], "beside its tensors each process has half a gigabyte"
    whole.total_memory = gib
    keep_to_share(torch.device("cuda"), 0.1)
    assert kept[1] == pytest.approx(0.05)


def test_the_allocator_is_left_as_the_user_has_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in accelerators.ALLOCATOR_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    ((name, value),) = allocator_environment().items()
    assert (name, value) == ("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    monkeypatch.setattr(torch, "__version__", "2.4.1+cu121")
    assert list(allocator_environment()) == ["PYTORCH_CUDA_ALLOC_CONF"]
    monkeypatch.setenv("PYTORCH_CUDA_ALLOC_CONF", "backend:native")
    assert allocator_environment() == {}


def test_float32_is_exact_meanwhile() -> None:
    assert torch.backends.cudnn.allow_tf32, "PyTorch's own choice, which training keeps"
    seen = []

    @exact_float32()
    def evaluate(divisor: int) -> float:
        seen.append(torch.backends.cudnn.allow_tf32)
        return 1 / divisor

    evaluate(1)
    with pytest.raises(ZeroDivisionError):
        evaluate(0)
    assert seen == [False, False]
    assert torch.backends.cudnn.allow_tf32


@pytest.fixture
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of this process are put back."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    cudnn: Any = torch.backends.cudnn
    before = (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    yield
    torch.use_deterministic_algorithms(mode=False)
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.usefixtures("as_before")
def test_deterministic_is_all_that_pytorch_asks_for() -> None:
    compute_deterministically()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.allow_tf32
    with exact_float32():
        pass
    assert not torch.backends.cudnn.allow_tf32
