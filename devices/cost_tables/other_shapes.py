"""Whether a table that does not name its space has the shapes of another one. Start with `check_shapes`.

Latencies go with what operators do, at prices of the board, and spaces with as many layers differ in strides and
channels: prices are fitted to the table in the shapes of each, and its own shapes fit best. Array shapes: L layers,
O operators.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from devices.cost_tables.operator_model import graph_counts
from search_space.block_graph import block_graph
from search_space.operators import Operator
from search_space.spaces import CELL_SPACE, FBNetSpace, Layer, SearchSpace, preset_names, space_named

Array = npt.NDArray[np.float64]

GOOD_FIT = 0.5
"""Error up to which prices explain a table at all; numbers out of the air have 0.6."""
BETTER = 1.2
MUCH_BETTER = 1.5
"""By how many times another space's error must be lower. Published tables in the shapes of `fbnet-cifar` (Raspberry
Pi 4, Pixel 3, FPGA, Eyeriss) have 1.4 to 2.1 times the error in those of `fbnet-imagenet`."""


def check_shapes(latency_ms_LO: Array, space: SearchSpace, path: Path) -> str:
    """Check that latencies do not fit the shapes of a preset much better than those of the space.

    Args:
        latency_ms_LO: shape (L, O).
        space: that the table was given for.
        path: of the file, for messages.

    Returns:
        What to know about the table, as the end of a sentence: empty, or that it fits another preset somewhat better.

    Raises:
        ValueError: if they do.
    """
    others = [space_named(name) for name in preset_names() if name not in (CELL_SPACE, space.name)]
    others = [other for other in others if other.num_layers == space.num_layers]
    if not isinstance(space, FBNetSpace) or not others:
        return ""
    own = fit_error(latency_ms_LO, space.layers, space.candidates)
    error, best = min(
        ((fit_error(latency_ms_LO, other.layers, space.candidates), other) for other in others),
        key=lambda pair: pair[0],
    )
    if error > GOOD_FIT or own <= BETTER * error:
        return ""
    fits = f"fit the shapes of `{best.name}` ({best.input_size} pixels) within {error:.0%}"
    if own <= MUCH_BETTER * error:
        return f"; its latencies {fits}, and those of `{space.name}` within {own:.0%} only"
    raise ValueError(
        f"a cost table must be for the space that it is given for, `{space.name}`, but the latencies of "
        f"{str(path)!r} {fits}, and those of `{space.name}` within {own:.0%} only: use `--space {best.name}`, or, "
        f"if you know better, write `# space: {space.name}` into the file's first line."
    )


def fit_error(latency_ms_LO: Array, layers: Sequence[Layer], operators: Sequence[Operator]) -> float:
    """How far latencies are from what the best prices of operations give: root of the mean squared relative error.

    Args:
        latency_ms_LO: shape (L, O).
        layers: L shapes.
        operators: of the O columns; `skip`, which may do nothing, counts for nothing.
    """
    columns = [index for index, operator in enumerate(operators) if not operator.is_skip]
    latencies = latency_ms_LO[:, columns].ravel()
    counts = np.array([graph_counts(block_graph(layer, operators[column])) for layer in layers for column in columns])
    taken = latencies > 0
    if not taken.any():
        return math.inf
    relative = counts[taken] / latencies[taken, None]
    scale = relative.max(axis=0)
    scale[scale == 0] = 1.0
    _, residual = nnls(relative / scale, np.ones(len(relative)))
    return float(residual / math.sqrt(len(relative)))
