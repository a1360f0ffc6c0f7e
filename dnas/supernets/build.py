"""Builds a supernet in either form."""

from __future__ import annotations

from typing import Literal

from dnas.supernets.separate import SeparateSupernet
from dnas.supernets.superkernel import SuperkernelSupernet
from dnas.supernets.supernet import Supernet
from search_space.spaces import FBNetSpace

WeightSharing = Literal["shared", "separate"]


def build_supernet(space: FBNetSpace, weight_sharing: WeightSharing) -> Supernet:
    """A supernet with fresh weights from torch's global generator.

    Raises:
        ValueError: if `weight_sharing` is not one of the two forms.
    """
    if weight_sharing == "shared":
        return SuperkernelSupernet(space)
    if weight_sharing == "separate":
        return SeparateSupernet(space)
    raise ValueError(f"`weight_sharing` must be `shared` or `separate`, but got {weight_sharing!r}.")
