"""The GPU of this process, of whichever maker: whether there is one, its memory, and how exactly it computes.

Start with `accelerator`. Nothing here starts a GPU but `keep_to_share`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

KINDS = ("cuda", "xpu")
"""Used wherever there is one: GPUs of NVIDIA and AMD, and of Intel, as PyTorch calls them."""
APPLE = "mps"
"""Used only where it is asked for, as nothing was tried on one."""
CPU = torch.device("cpu")
CONTEXT_BYTES = 2**29
"""Of a GPU's memory that each process takes beside its tensors; about."""
ALLOCATOR_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""Of PyTorch from 2.10 on, and of those before, whose name newer ones understand, but warn of."""


def accelerator(*, apple: bool = False) -> torch.device | None:
    """The GPU that PyTorch sees here; None if there is none.

    Args:
        apple: whether Apple's is wanted, too.
    """
    if not hasattr(torch, "accelerator"):
        # PyTorch before 2.6.
        return torch.device("cuda") if torch.cuda.is_available() else None
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found if found is not None and found.type in (*KINDS, *((APPLE,) if apple else ())) else None


def own_device() -> torch.device:
    """Where a program computes that has this machine for itself: a GPU, else the CPU."""
    return accelerator() or CPU


def accelerators() -> int:
    """How many GPUs PyTorch sees here."""
    found = accelerator()
    return 0 if found is None else int(torch.get_device_module(found).device_count())


def synchronize(device: torch.device) -> None:
    """Wait until a device has done all that it was given."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()


def free_bytes(device: torch.device) -> int:
    """Memory of a GPU that no process holds; 0 where that cannot be told."""
    if device.type not in KINDS:
        return 0
    free, _ = torch.get_device_module(device).mem_get_info(device)
    return int(free)


def keep_to_share(device: torch.device, share: float) -> None:
    """Let this process have no more of a GPU's memory than its share, so that others on it find theirs.

    Args:
        device: where it computes.
        share: of the GPU, in (0, 1]; with all of it there is no bound.
    """
    if device.type != "cuda" or not 0 < share < 1:
        return
    whole = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(max(share / 2, share - CONTEXT_BYTES / whole), device)


def allocator_environment() -> dict[str, str]:
    """Variables for processes that compute on GPUs; none where the user has set them.

    Sampled paths differ in their shapes from step to step, which would cut memory into pieces of no use to the next.
    """
    if any(name in os.environ for name in ALLOCATOR_VARIABLES):
        return {}
    new, old = ALLOCATOR_VARIABLES
    is_new = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 10)
    return {new if is_new else old: "expandable_segments:True"}


@contextmanager
def exact_float32() -> Iterator[None]:
    """Have float32 be float32 on a GPU, too, as it is in exported files; also a decorator.

    By default convolutions there round what they multiply to 10 bits (TF32), and errors would be those of no file.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def compute_deterministically() -> None:
    """Have this process compute the same again on the same kind of GPU, bit for bit; before it first uses one.

    On a CPU it does so anyway. What has no such way on a GPU raises.

    Source: https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    # Nothing here reads memory before it is written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
