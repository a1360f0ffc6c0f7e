"""Learning rates: a linear warm-up, then half a cosine down to zero.

Source: Loshchilov & Hutter, "SGDR" (ICLR 2017), equation 5, with a single period; Goyal et al., "Accurate, Large
Minibatch SGD" (2017), section 2.2.
"""

from __future__ import annotations

import math


def lr_factor(step: int, total_steps: int, warmup_fraction: float) -> float:
    """Share of the peak learning rate at a step, from 0; the warm-up is rounded to whole steps.

    Args:
        step: number of the step, from 0.
        total_steps: steps of the whole training.
        warmup_fraction: share of all steps that warm up, in [0, 1).
    """
    warmup = round(warmup_fraction * total_steps)
    if step < warmup:
        return _rise(step, warmup, 1)
    return _half_cosine(step - warmup, total_steps - warmup)


def lr_factor_within(step: int, total_steps: int, warmup_fraction: float) -> float:
    """Share of the peak learning rate as `lr_factor` gives it, but the warm-up may end within a step.

    Steps beyond the last have a rate of zero.
    """
    progress = step / total_steps
    if progress < warmup_fraction:
        return _rise(progress, warmup_fraction, 1 / total_steps)
    return _half_cosine(min(1.0, (progress - warmup_fraction) / (1 - warmup_fraction)), 1)


def _rise(done: float, end: float, step: float) -> float:
    """From one step above zero to one step below the peak."""
    return (done + step) / (end + step)


def _half_cosine(done: float, end: float) -> float:
    """From 1 to 0."""
    return 0.5 * (1 + math.cos(math.pi * done / end))
