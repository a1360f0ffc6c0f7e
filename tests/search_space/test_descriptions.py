import pytest

from search_space.architectures import parse_architecture
from search_space.catalogue import any_space_named
from search_space.counts import count
from search_space.descriptions import describe_architecture, describe_space
from search_space.published import PUBLISHED
from search_space.spaces import preset_names


@pytest.mark.parametrize("name", preset_names())
def test_layers_and_fixed_part_add_up_to_the_network(name: str) -> None:
    space = any_space_named(name)
    text = "".join(str(index % len(space.operators)) for index in range(space.num_layers))
    description = describe_architecture(space, parse_architecture(space, text))
    total = count(space.graph(description.operators))
    assert (description.macs, description.params) == (total.macs, total.params)
    assert sum(layer.macs for layer in description.layers) + description.fixed.macs == total.macs
    assert sum(layer.params for layer in description.layers) + description.fixed.params == total.params
    assert [layer.operator for layer in description.layers] == list(description.operators)
    assert description.id == text


def test_fixed_part_is_stem_and_head() -> None:
    space = any_space_named("fbnet-micro")
    description = describe_architecture(space, parse_architecture(space, "0" * 8))
    # Stem 3x3 from 3 to 16 at 16 x 16; last 1x1 from 64 to 128 at 4 x 4; classifier to 10.
    assert description.fixed.macs == 16 * 16 * 16 * 3 * 9 + 4 * 4 * 64 * 128 + 128 * 10
    assert description.fixed.params == 16 * 27 + 32 + 64 * 128 + 256 + 128 * 10 + 10


def test_cell_parameters_of_one_edge() -> None:
    space = any_space_named("nas-bench-201")
    description = describe_architecture(space, parse_architecture(space, "023140"))
    assert [layer.params for layer in description.layers] == [0, 28_000, 243_040, 0, 0, 0]
    assert description.fixed.params == 73_306
    assert [layer.name for layer in description.layers] == ["edge01", "edge02", "edge12", "edge03", "edge13", "edge23"]


def test_space() -> None:
    description = describe_space(any_space_named("fbnet-cifar", classes=100))
    assert (description.space, description.classes, description.input_shape) == ("fbnet-cifar", 100, (3, 32, 32))
    assert description.num_architectures == 9**22
    assert description.published == tuple(PUBLISHED)
    assert len(description.layers) == 22
    assert describe_space(any_space_named("nas-bench-201")).num_architectures == 15_625
