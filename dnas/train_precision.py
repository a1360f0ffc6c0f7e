"""The name of what training steps compute in. Importing this is quick: command lines are made from it."""

from __future__ import annotations

from typing import Literal

TrainPrecision = Literal["auto", "fp32", "bf16"]
"""`auto` is `bf16` on NVIDIA and AMD GPUs that have it in hardware, `fp32` elsewhere."""
