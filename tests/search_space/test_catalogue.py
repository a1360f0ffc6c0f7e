from pathlib import Path

import pytest

from search_space.catalogue import any_space_named
from search_space.nas_bench_201 import NasBench201Space
from search_space.spaces import preset_names, space_named

EXAMPLE = str(Path(__file__).parents[2] / "docs" / "example_space.yaml")


def test_every_preset_and_file() -> None:
    assert [any_space_named(name).name for name in preset_names()] == list(preset_names())
    assert any_space_named("nas-bench-201") == NasBench201Space()
    assert any_space_named(EXAMPLE) == space_named(EXAMPLE)


@pytest.mark.parametrize("name", ["fbnet-micro", "nas-bench-201", EXAMPLE])
def test_classes(name: str) -> None:
    space = any_space_named(name, classes=100)
    assert space.graph((space.operators[0],) * space.num_layers).nodes[-1].shape == (100, 1, 1)
    with pytest.raises(ValueError, match="`classes` must be .*at least 1, but got 0"):
        any_space_named(name, classes=0)


def test_published_head() -> None:
    space = any_space_named("fbnet-imagenet", published="fbnet-a")
    assert space == space_named("fbnet-imagenet", published="fbnet-a")


def test_other_names_are_refused() -> None:
    with pytest.raises(ValueError, match="`--space` must be one of .*, nas-bench-201 or a .yaml file, but got 'x'"):
        any_space_named("x")


def test_size() -> None:
    assert any_space_named("fbnet-micro", size=96) == any_space_named("fbnet-micro@96") == space_named("fbnet-micro@96")
    assert any_space_named("nas-bench-201", size=32) == any_space_named("nas-bench-201@32") == NasBench201Space()
    with pytest.raises(ValueError, match="`--size` must be 32 for `nas-bench-201`, .* but got 64"):
        any_space_named("nas-bench-201", size=64)
