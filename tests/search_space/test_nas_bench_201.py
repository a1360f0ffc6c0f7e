from typing import Any

import numpy as np
import pytest

from search_space.counts import count
from search_space.nas_bench_201 import EDGES, NAS_BENCH_201_OPERATORS, NasBench201Space, parse_cell

SPACE = NasBench201Space()


def test_parameters_follow_the_closed_form_of_the_published_networks() -> None:
    # CIFAR-10; the published table of parameters is exactly linear in the numbers of 1x1 and 3x3 convolutions.
    rng = np.random.default_rng(0)
    for _ in range(25):
        operators = tuple(rng.choice(NAS_BENCH_201_OPERATORS, size=6).tolist())
        expected = 73_306 + 28_000 * operators.count("nor_conv_1x1") + 243_040 * operators.count("nor_conv_3x3")
        assert count(SPACE.graph(operators)).params == expected


def test_published_order_of_edges() -> None:
    assert EDGES == ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    assert SPACE.num_layers == 6
    assert SPACE.vocabulary == SPACE.operators == NAS_BENCH_201_OPERATORS


def test_classes_change_the_classifier_only() -> None:
    operators = ("skip_connect",) * 6
    more = count(SPACE.with_classes(100).graph(operators)).params - count(SPACE.graph(operators)).params
    assert more == 90 * (64 + 1)


def test_published_string_names_six_edges() -> None:
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    assert parse_cell(text) == ("nor_conv_3x3", "none", "skip_connect", "avg_pool_3x3", "nor_conv_1x1", "none")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none,none,none,none,none,none",
        "|none~0|+|none~0|none~1|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~1|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|dil_conv~2|",
        "|none~0|x+|none~0|none~1|+|none~0|none~1|none~2|",
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|+|none~0|",
    ],
)
def test_other_strings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a NAS-Bench-201 string must have the form"):
        parse_cell(text)


@pytest.mark.parametrize("name", ["classes", "input_size", "channels", "cells_per_stage"])
def test_sizes_must_be_positive(name: str) -> None:
    sizes: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=f"`{name}` must be at least 1, but got 0"):
        NasBench201Space(**sizes)


def test_input_must_halve_twice() -> None:
    with pytest.raises(ValueError, match="`input_size` must be a multiple of 4"):
        NasBench201Space(input_size=30)
