from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from search_space.graphs import Graph, GraphBuilder
from search_space.operators import OPERATOR_NAMES, operator_named
from search_space.spaces import FBNetSpace, Layer, Stage, add_block, layer_prefix, preset_names, read_space, space_named

EXAMPLE = Path(__file__).parents[2] / "docs" / "example_space.yaml"
VALID: dict[str, Any] = {
    "input_size": 32,
    "stem": {"channels": 16, "stride": 1},
    "stages": [{"channels": 16, "layers": 1, "stride": 1}, {"channels": 24, "layers": 2, "stride": 2}],
    "last_channels": 64,
}


def test_presets() -> None:
    names = ("fbnet-96-0.35", "fbnet-cifar", "fbnet-imagenet", "fbnet-micro", "fbnet-photo", "nas-bench-201")
    assert preset_names() == names
    for name in preset_names()[:-1]:
        space = space_named(name)
        assert space.name == name
        assert space.operators == space.vocabulary == OPERATOR_NAMES


def test_fbnet_cifar_has_the_shapes_of_hw_nas_bench() -> None:
    space = space_named("fbnet-cifar")
    assert [stage.stride for stage in space.stages] == [1, 1, 2, 2, 1, 2, 1]
    assert [stage.channels for stage in space.stages] == [16, 24, 32, 64, 112, 184, 352]
    assert [stage.layers for stage in space.stages] == [1, 4, 4, 4, 4, 4, 1]
    assert (space.stem_stride, space.last_channels, space.input_shape) == (1, 1504, (3, 32, 32))
    assert space.num_layers == len(space.layers) == 22
    assert [layer.size for layer in space.layers] == [32] * 6 + [16] * 4 + [8] * 8 + [4] * 4


def test_fbnet_imagenet_has_the_shapes_of_the_paper() -> None:
    space = space_named("fbnet-imagenet")
    assert [stage.stride for stage in space.stages] == [1, 2, 2, 2, 1, 2, 1]
    assert (space.stem_stride, space.last_channels, space.classes) == (2, 1984, 1000)
    assert (space.layers[0].size, space.layers[-1].size) == (112, 7)


def test_fbnet_96_has_channels_in_multiples_of_8() -> None:
    space = space_named("fbnet-96-0.35")
    wide = space_named("fbnet-imagenet")
    for narrow, full in zip(space.stages, wide.stages, strict=True):
        assert narrow.channels % 8 == 0
        assert abs(narrow.channels - 0.35 * full.channels) < 8
        assert (narrow.layers, narrow.stride) == (full.layers, full.stride)


def test_layers_are_chained_and_agree_with_the_graph() -> None:
    space = space_named("fbnet-cifar")
    for before, after in zip(space.layers, space.layers[1:], strict=False):
        assert before.out_channels == after.in_channels
        assert after.size == -(-before.size // before.stride)
    graph = space.graph(("k3_e3",) * space.num_layers)
    for index, layer in enumerate(space.layers):
        project = f"{layer_prefix(index)}project"
        size = -(-layer.size // layer.stride)
        assert graph.shape_of(project) == (layer.out_channels, size, size)


def test_number_of_architectures() -> None:
    assert space_named("fbnet-micro").num_architectures == 9**8
    assert space_named("fbnet-cifar").num_architectures == 9**22


def test_published_head_is_used_only_in_its_own_space() -> None:
    assert space_named("fbnet-imagenet", published="FBNet-A").last_channels == 1504
    assert space_named("fbnet-imagenet", published="0_1_2").last_channels == 1984
    assert space_named("fbnet-cifar", published="fbnet-b").last_channels == 1504


def test_skip_is_the_identity_only_where_the_shape_stays() -> None:
    for layer, expected in ((Layer(8, 8, 1, 4), "input"), (Layer(8, 8, 2, 4), "skip"), (Layer(8, 6, 1, 4), "skip")):
        builder = GraphBuilder(layer.input_shape)
        assert add_block(builder, Graph.INPUT, layer, operator_named("skip"), prefix="") == expected


def test_number_of_operators_must_fit() -> None:
    with pytest.raises(ValueError, match="shorter"):
        space_named("fbnet-micro").graph(("skip",))


@pytest.mark.parametrize("name", ["", "fbnet", "../presets/fbnet-micro", "fbnet-micro/", "x" * 5000, "\0"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="`--space` must be one of fbnet-96-0.35, .* or a .yaml file, but got"):
        space_named(name)


def test_the_cell_space_is_no_fbnet_space() -> None:
    with pytest.raises(ValueError, match="'nas-bench-201', which is no FBNet space"):
        space_named("nas-bench-201")


@pytest.mark.parametrize("name", preset_names()[:-1])
def test_another_size_has_a_name_that_says_so_and_nothing_else_changes(name: str) -> None:
    own = space_named(name)
    sized = space_named(name, size=128)
    assert sized == space_named(f"{name}@128") == space_named(f"{name}@128", size=128)
    assert sized == replace(own, name=f"{name}@128", input_size=128)
    assert sized.layers[-1].size * sized.layers[-1].stride >= 128 // sized.total_stride
    graph = sized.graph(("k3_e1",) * sized.num_layers)
    assert graph.input_shape == (3, 128, 128)
    assert graph.shape_of("last")[1:] == (128 // sized.total_stride,) * 2


def test_a_spaces_own_size_changes_nothing() -> None:
    assert space_named("fbnet-micro", size=32) == space_named("fbnet-micro@32") == space_named("fbnet-micro")


def test_total_stride() -> None:
    assert [space_named(name).total_stride for name in ("fbnet-micro", "fbnet-cifar", "fbnet-imagenet")] == [8, 8, 32]


def test_published_head_is_used_at_any_size() -> None:
    assert space_named("fbnet-imagenet@96", published="fbnet-a").last_channels == 1504


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("fbnet-micro@64", 96, "`--size` must be the size that `--space` names, but got --space fbnet-micro@64 and"),
        ("fbnet-micro", 8, "a multiple of 8, the strides of `fbnet-micro` in all, from 16 to 1024, but got 8: use 16"),
        ("fbnet-micro", 97, "must be a multiple of 8, .* but got 97: use 96, say"),
        ("fbnet-micro", 0, "but got 0: use 16"),
        ("fbnet-micro", -96, "but got -96: use 16"),
        ("fbnet-imagenet@100", None, "a multiple of 32, .* but got 100: use 96, say"),
        ("fbnet-cifar@4096", None, "from 16 to 1024, but got 4096: use 1024"),
        ("fbnet@96", None, "`--space` must be one of"),
        ("fbnet-micro@", None, "`--space` must be one of"),
        ("fbnet-micro@96@64", None, "`--space` must be one of"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(name: str, size: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refusal:
        space_named(name, size=size)
    assert "\n" not in str(refusal.value)


# Users' own spaces.


def test_a_file_at_another_size(tmp_path: Path) -> None:
    path = write(tmp_path, VALID)
    assert (
        space_named(f"{path}@64")
        == space_named(path, size=64)
        == replace(space_named(path), name="own@64", input_size=64)
    )


def write(tmp_path: Path, content: object) -> str:
    path = tmp_path / "own.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return str(path)


def test_example_of_the_documentation() -> None:
    space = space_named(str(EXAMPLE))
    assert (space.name, space.num_layers, space.classes) == ("example", 9, 20)
    assert space.num_architectures == 5**9
    block = (EXAMPLE.parent / "search_spaces.md").read_text().split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(block) == yaml.safe_load(EXAMPLE.read_text())


def test_defaults_of_a_file(tmp_path: Path) -> None:
    space = space_named(write(tmp_path, VALID))
    assert (space.name, space.classes, space.operators) == ("own", 10, OPERATOR_NAMES)
    assert [(layer.in_channels, layer.out_channels, layer.stride, layer.size) for layer in space.layers] == [
        (16, 16, 1, 32),
        (16, 24, 2, 32),
        (24, 24, 1, 16),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": "32"}, "`input_size` must be a whole number of at least 1, but got '32'"),
        ({"input_size": 32.0}, "`input_size` must be a whole number"),
        ({"input_size": [32, 32]}, "`input_size` must be a whole number"),
        ({"classes": 0}, "`classes` must be a whole number of at least 1, but got 0"),
        ({"classes": True}, "`classes` must be a whole number of at least 1, but got True"),
        ({"classes": None}, "`classes` must be a whole number"),
        ({"last_channels": -8}, "`last_channels` must be a whole number"),
        ({"name": 5}, "`name` must be a line of 1 to 100 printable characters, but got 5"),
        ({"name": ""}, "`name` must be a line of 1 to 100 printable characters"),
        ({"stem": 16}, "`stem` must be a mapping with channels, stride, but got 16"),
        ({"stem": {"channels": 16}}, "`stem` must have channels, stride, but lacks stride"),
        ({"stem": {"channels": 15, "stride": 1}}, "`stem_channels` must be even"),
        ({"stem": {"channels": "16", "stride": 1}}, "`stem_channels` must be a whole number"),
        ({"stem": {"channels": 16, "stride": 3}}, "`stem_stride` must be 1 or 2, but got 3"),
        ({"stem": {"channels": 16, "stride": True}}, "`stem_stride` must be 1 or 2, but got True"),
        ({"stem": {"channels": 16, "stride": 1, "kernel": 3}}, "`stem` may have only channels, stride, but has kernel"),
        ({"stages": []}, "`stages` must hold at least one stage"),
        ({"stages": {}}, "`stages` must be a list, but got {}"),
        ({"stages": None}, "`stages` must be a list, but got None"),
        ({"stages": [16]}, "a stage must be a mapping with channels, layers, stride, but got 16"),
        ({"stages": [{"channels": 16, "layers": 1}]}, "a stage must have .* but lacks stride"),
        ({"stages": [{"channels": 16, "layers": 0, "stride": 1}]}, "`layers` must be a whole number of at least 1"),
        ({"stages": [{"channels": "16", "layers": 1, "stride": 1}]}, "`channels` must be a whole number .* got '16'"),
        ({"stages": [{"channels": 17, "layers": 1, "stride": 1}]}, "`channels` must be even"),
        ({"stages": [{"channels": 16, "layers": 1, "stride": 1.0}]}, "`stride` must be 1 or 2, but got 1.0"),
        ({"stages": [{"channels": 16, "layers": 1, "stride": [1]}]}, r"`stride` must be 1 or 2, but got \[1\]"),
        ({"stages": [{"channels": 16, "layers": 1, "stride": 1, "n": 2}]}, "a stage may have only .* but has n"),
        ({"width": 1}, "the file may have only .* but has width"),
        ({3: 4}, "the file may have only .* but has 3"),
        ({"operators": "skip"}, "`operators` must be a list of names, but got 'skip'"),
        ({"operators": ["k3_e1", 8]}, "`operators` must be a list of names"),
        ({"operators": ["k3_e1", "k7_e1"]}, "an operator must be one of .* but got 'k7_e1'"),
        ({"operators": ["skip", "k3_e1"]}, "`operators` must be two or more of .* in this order, but got skip, k3_e1"),
        ({"operators": ["skip"]}, "`operators` must be two or more"),
        ({"operators": ["k3_e1", "k3_e1", "skip"]}, "each once"),
        ({"operators": []}, "`operators` must be two or more"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(tmp_path: Path, change: dict[Any, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        space_named(write(tmp_path, {**VALID, **change}))
    assert "own.yaml" in str(caught.value)


@pytest.mark.parametrize("key", VALID)
def test_required_keys(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match=f"the file must have .*, but lacks {key}"):
        space_named(write(tmp_path, {name: value for name, value in VALID.items() if name != key}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file must be a mapping with .* but got None"),
        ("- 1\n- 2", "the file must be a mapping"),
        ("just text", "the file must be a mapping"),
        ("stages: [", "must be YAML, but .* is not"),
        ("a: b: c", "must be YAML, but .* is not"),
        ("name: !!python/object:os.system {}", "must be YAML, but .* is not"),
        ("name: 2020-99-99", "must be YAML, but .* is not: month must be in 1..12"),
        ("a\0b", "must be YAML, but .* is not"),
        ("[" * 3000, "must be YAML, but .* is not"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_space(Path(write(tmp_path, text)))
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a space file must exist, but got '.*none\.yaml'"):
        space_named(str(tmp_path / "none.yaml"))
    (tmp_path / "folder.yml").mkdir()
    with pytest.raises(ValueError, match="a space file must be a file, but .* is a folder"):
        space_named(str(tmp_path / "folder.yml"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match="a space file must be (YAML|UTF-8 text)"):
        space_named(str(tmp_path / "binary.yaml"))
    with pytest.raises(ValueError, match="a space file must be readable"):
        space_named("x" * 5000 + ".yaml")


def test_a_space_made_in_code_is_checked_too() -> None:
    space: FBNetSpace = space_named("fbnet-micro")
    with pytest.raises(ValueError, match="`classes` must be a whole number of at least 1, but got 0"):
        space.with_classes(0)
    with pytest.raises(ValueError, match="`stages` must hold at least one stage"):
        replace(space, stages=())
    with pytest.raises(ValueError, match="`stride` must be 1 or 2, but got 4"):
        Stage(16, 1, 4)


def test_a_file_may_lie_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.yaml").write_text(EXAMPLE.read_text())
    assert space_named("~/own.yaml") == space_named(str(EXAMPLE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_size": 10**9}, "`input_size` must be at most 1,024, but got 1000000000"),
        ({"classes": 10**9}, "`classes` must be at most 100,000"),
        ({"last_channels": 10**18}, "`last_channels` must be at most 16,384"),
        ({"stages": [{"channels": 10**9, "layers": 1, "stride": 1}]}, "`channels` must be at most 4,096"),
        ({"stages": [{"channels": 8, "layers": 10**9, "stride": 1}]}, "`layers` must be at most 200"),
        (
            {"stages": [{"channels": 8, "layers": layers, "stride": 1} for layers in (99, 100, 101)]},
            "must have at most 200 layers in all",
        ),
        ({"stages": "x" * 100_000}, "`stages` must be a list"),
        ({"name": "x" * 1000}, "`name` must be a line of 1 to 100 printable characters"),
        ({"name": "a\x1b[2Jb"}, "`name` must be a line of 1 to 100 printable characters"),
        ({"operators": ["x" * 10_000]}, "an operator must be one of"),
    ],
)
def test_a_space_asks_for_no_more_than_machines_have(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**VALID, **change}))
    with pytest.raises(ValueError, match=message) as caught:
        read_space(path)
    assert len(str(caught.value)) < 700
    assert str(caught.value).isprintable()
