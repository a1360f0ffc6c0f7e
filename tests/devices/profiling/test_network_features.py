from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from devices.cost_tables.analytic import analytic_cost_table
from devices.profiling.network_features import NetworkFeatures, kinds_of_work
from search_space.spaces import space_named

SPACE = space_named("fbnet-micro")
SOURCE = analytic_cost_table(SPACE)


def test_kinds_of_work_by_hand() -> None:
    np.testing.assert_allclose(kinds_of_work(SOURCE, SPACE), work_by_hand())


def work_by_hand() -> npt.NDArray[np.float64]:
    """Kinds of work of FBNet's blocks by their formulas, each 1 in the average network: shape (L, O, kinds)."""
    work = np.zeros((SPACE.num_layers, len(SPACE.operators), 8))
    for row, layer in zip(work, SPACE.layers, strict=True):
        inside, outside = layer.size**2, (layer.size // layer.stride) ** 2
        channels, filters = layer.in_channels, layer.out_channels
        for entry, operator in zip(row, SPACE.candidates, strict=True):
            hidden, groups = channels * operator.expansion, operator.groups
            expand, project = channels * inside, filters * outside
            if operator.is_skip:
                if not layer.keeps_shape:
                    weights = channels * filters
                    entry[:] = weights * outside, 0, weights + 2 * filters, expand + project, 1, 0, 0, 0
                continue
            dense = hidden * channels * inside + hidden * filters * outside
            params = (channels + filters) * hidden // groups + hidden * operator.kernel**2 + 4 * hidden + 2 * filters
            moved = expand + 2 * hidden * (inside + outside) + project
            moved += 2 * hidden * inside * (groups > 1) + (2 * project + expand) * layer.keeps_shape
            depthwise = hidden * operator.kernel**2 * outside
            entry[:7] = dense * (groups == 1), depthwise, params, moved, 3, groups > 1, layer.keeps_shape
    work[:, :, 7] = SOURCE.latency_ms
    parts: npt.NDArray[np.float64] = work / work.mean(axis=1).sum(axis=0)
    return parts


def test_kinds_that_no_operator_has_are_left_out() -> None:
    space = replace(SPACE, operators=("k3_e1", "k3_e3", "skip"))
    assert kinds_of_work(analytic_cost_table(space), space).shape == (space.num_layers, 3, 7)


def test_the_average_network_is_the_intercept_alone() -> None:
    features = NetworkFeatures.of(SOURCE, SPACE)
    every_operator = np.repeat(np.arange(9)[:, None], SPACE.num_layers, axis=1)
    rows = features.rows(every_operator)
    np.testing.assert_allclose(rows.mean(axis=0), np.eye(rows.shape[1])[0], atol=1e-12)


def test_ties_are_work_of_one_shape_or_one_shape_and_expansion() -> None:
    features = NetworkFeatures.of(SOURCE, SPACE)
    ties = features.work_LOJ[:, :, features.kinds :]
    size = features.work_LOJ[:, :, : features.kinds].mean(axis=2)
    assert ((ties == 0) | np.isclose(ties, size[:, :, None])).all()
    by_tie = {frozenset(map(tuple, np.argwhere(ties[:, :, index]))) for index in range(ties.shape[2])}
    expected = set()
    for layer in set(SPACE.layers):
        alike = [place for place, other in enumerate(SPACE.layers) if other == layer]
        for expansions in ({0, 1, 3, 6}, {0}, {1}, {3}, {6}):
            entries = {
                (place, number)
                for place in alike
                for number, operator in enumerate(SPACE.candidates)
                if operator.expansion in expansions and size[place, number] > 0
            }
            expected.add(frozenset(entries))
    assert by_tie == expected - {frozenset()}


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (np.zeros((2, SPACE.num_layers - 1), int), "must have shape"),
        (np.zeros((0, SPACE.num_layers), int), "must have shape"),
        (np.full((2, SPACE.num_layers), 9), r"whole numbers in \[0, 8\]"),
    ],
)
def test_networks_that_do_not_fit(networks: npt.NDArray[np.int64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkFeatures.of(SOURCE, SPACE).rows(networks)


def test_a_table_of_another_space() -> None:
    with pytest.raises(ValueError, match="must be that of the search space"):
        kinds_of_work(SOURCE, space_named("fbnet-cifar"))
