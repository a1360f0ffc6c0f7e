"""The picture of a training: loss and accuracy against epochs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from moo.visualization.style import BLUE, VERMILION, dress, new_figure

if TYPE_CHECKING:
    from evaluation.training.loop import TrainRecord


def training_curves(records: Sequence[TrainRecord], title: str, subtitle: str) -> Figure:
    """Training loss on the left, accuracy on the selection split on the right.

    Args:
        records: of all epochs, in order.
        title: what was trained.
        subtitle: on what, and what it came to.
    """
    figure = new_figure(9, 4, title, subtitle)
    epochs = [record.epoch for record in records]
    curves = (
        ("training loss (nats)", BLUE, [record.loss for record in records]),
        ("accuracy, selection split (%)", VERMILION, [100 * record.accuracy for record in records]),
    )
    for axes, (label, colour, values) in zip(figure.subplots(1, 2), curves, strict=True):
        axes.plot(epochs, values, color=colour, linewidth=1.8, marker="o" if len(epochs) <= 30 else "", markersize=4)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        dress(axes, "epoch", label)
    return figure
