"""What can go wrong when a board is asked for something."""

from __future__ import annotations


class MeasurementError(RuntimeError):
    """The board could not measure: the agent crashed or hung, or the model is not one that it can run."""


class BoardUnreachableError(MeasurementError):
    """No board answers: refused, switched off, rebooting, or off the network. This says nothing about the model."""


class BoardRefusedError(BoardUnreachableError):
    """The board answers, but a key is not known, it is not set up, or its disk is full. A person has to act."""
