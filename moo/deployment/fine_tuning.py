"""Fine-tuning of pre-trained networks in this process, one after the other, on all cores or the GPU."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from evaluation.accelerators import compute_deterministically, own_device
from evaluation.training.allocator import keep_freed_memory
from evaluation.training.fine_tuning import fine_tune
from evaluation.training.fine_tuning_run import FineTunePreparation
from evaluation.training.job import TrainEvent, TrainFailure


def fine_tuned(preparation: FineTunePreparation, state: bytes | None) -> Iterator[TrainEvent | TrainFailure]:
    """Fine-tune, or resume; what is raised becomes a failure, as with other trainings, so that the rest goes on.

    Args:
        preparation: its inputs.
        state: after the last epoch of an interrupted fine-tuning.

    Yields:
        As `evaluation.training.fine_tuning.fine_tune`.
    """
    keep_freed_memory()
    if preparation.config.deterministic:
        compute_deterministically()
    device = own_device()
    try:
        yield from fine_tune(preparation.job, preparation.splits, state=state, device=device)
    except ValueError as error:
        yield TrainFailure(traceback.format_exc(), str(error))
    except Exception:
        yield TrainFailure(traceback.format_exc())
