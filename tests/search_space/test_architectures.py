import json
from pathlib import Path

import numpy as np
import pytest

from search_space.architectures import (
    Architecture,
    architecture_from_indices,
    architecture_of,
    operator_indices,
    parse_architecture,
    published_for,
)
from search_space.nas_bench_201 import NasBench201Space
from search_space.published import PUBLISHED
from search_space.spaces import FBNetSpace, SearchSpace, Stage, read_space, space_named

MICRO = space_named("fbnet-micro")
CELLS = NasBench201Space()
EXAMPLE = read_space(Path(__file__).parents[2] / "docs" / "example_space.yaml")
SPACES = [space_named("fbnet-cifar"), MICRO, EXAMPLE, CELLS]
ONE_LAYER = FBNetSpace(
    name="one", input_size=8, classes=2, stem_channels=4, stem_stride=1, stages=(Stage(4, 1, 1),), last_channels=8
)


def random_architecture(space: SearchSpace, rng: np.random.Generator) -> Architecture:
    indices = rng.integers(len(space.operators), size=space.num_layers)
    return architecture_from_indices(space, tuple(int(index) for index in indices))


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_every_form_reads_back_as_the_same_architecture(space: SearchSpace, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        architecture = random_architecture(space, rng)
        path = tmp_path / "architecture.json"
        path.write_text(json.dumps(architecture.to_json()))
        for text in (
            architecture.id,
            f"  {architecture.id}\n",
            "_".join(architecture.id),
            ",".join(architecture.id),
            ", ".join(architecture.id),
            ",".join(architecture.operators),
            str(path),
        ):
            assert parse_architecture(space, text) == architecture
        assert architecture_from_indices(space, operator_indices(space, architecture)) == architecture
        assert architecture_of(space, architecture.operators) == architecture


def test_digits_mean_the_same_in_a_space_of_fewer_candidates() -> None:
    architecture = parse_architecture(EXAMPLE, "078378023")
    assert architecture.operators == (
        *("k3_e1", "k5_e6", "skip"),
        *("k3_e6", "k5_e6", "skip"),
        *("k3_e1", "k3_e3", "k3_e6"),
    )
    assert architecture.id == "078378023"
    with pytest.raises(ValueError, match="layer 0 of `example` must be one of .*, but got 'k3_e1_g2'"):
        parse_architecture(EXAMPLE, "178378023")


def test_published_names() -> None:
    space = space_named("fbnet-imagenet")
    for name, published in PUBLISHED.items():
        assert parse_architecture(space, name).operators == published.operators
        assert parse_architecture(space, f" {name.upper()} ").operators == published.operators
    assert published_for(space) == tuple(PUBLISHED)
    assert published_for(MICRO) == published_for(CELLS) == ()


def test_digits_separated_by_underscores() -> None:
    architecture = parse_architecture(MICRO, "7_8_1_0_2_3_4_5")
    assert architecture.id == "78102345"
    assert architecture.operators[:3] == ("k5_e6", "skip", "k3_e1_g2")


def test_published_string_of_a_cell() -> None:
    text = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"
    assert parse_architecture(CELLS, text).id == "301420"


def test_json_forms(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    expected = parse_architecture(MICRO, "78102345")
    for content in (
        expected.to_json(),
        {"operators": list(expected.operators)},
        list(expected.operators),
        {"architecture": expected.to_json(), "error": 0.1},
    ):
        path.write_text(json.dumps(content))
        assert parse_architecture(MICRO, str(path)) == expected


def test_one_layer() -> None:
    assert parse_architecture(ONE_LAYER, "k3_e1_g2").id == "1"
    assert parse_architecture(ONE_LAYER, "8").operators == ("skip",)
    with pytest.raises(ValueError, match="layer 0 of `one` must be one of .*, but got 'k9'"):
        parse_architecture(ONE_LAYER, "k9")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "`--architecture` must be 8 comma-separated operators .*, an id of 8 digits or a .json file, but got ''"),
        ("skip", "`--architecture` must be"),
        ("fbnet-d", "`--architecture` must be"),
        ("²" * 8, "`--architecture` must be"),
        ("_", "`--architecture` must be"),
        ("|none~0|", "`--architecture` must be"),
        ("fbnet-a", "must have 8 operators, one a layer, but got 22, those of 'fbnet-a': use `--space fbnet-imagenet`"),
        ("fbnet_cse", "but got 'fbnet_cse': it has squeeze and excitation"),
        ("FBNetV3_A", "but got 'FBNetV3_A': FBNetV3 has squeeze and excitation and hard swish"),
        ("dmasking_l3", "but got 'dmasking_l3': FBNetV2 searches numbers of channels"),
        ("7810234", "must have 8 operators, one a layer, but got 7"),
        ("781023456", "must have 8 operators, one a layer, but got 9"),
        ("skip,skip", "must have 8 operators, one a layer, but got 2"),
        ("78102349", "layer 7 of `fbnet-micro` must be one of k3_e1, .*, but got '9'"),
        ("7_8_1_0_2_3_4_", "layer 7 of `fbnet-micro` must be one of .*, but got ''"),
        ("7,8,1,0,2,3,4,²", "layer 7 of `fbnet-micro` must be one of .*, but got '²'"),
        ("7,8,1,0,2,3,4,08", "layer 7 of `fbnet-micro` must be one of .*, but got '08'"),
        ("7,8,1,0,2,3,4,-1", "layer 7 of `fbnet-micro` must be one of .*, but got '-1'"),
        ("skip,k9,skip,skip,skip,skip,skip,skip", "layer 1 of `fbnet-micro` must be one of .*, but got 'k9'"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_architecture(MICRO, text)


def test_the_message_names_the_published_architectures_that_fit() -> None:
    with pytest.raises(ValueError, match="`--architecture` must be fbnet-a, fbnet-b, .* 22 comma-separated operators"):
        parse_architecture(space_named("fbnet-imagenet"), "fbnet-z")
    with pytest.raises(ValueError, match="but got 'fbnet_cpu_sampel1': did you mean fbnet-cpu-sample1 or"):
        parse_architecture(space_named("fbnet-imagenet"), "fbnet_cpu_sampel1")


def test_operators_by_the_names_of_the_authors(tmp_path: Path) -> None:
    names = ["ir_k3_e1", "ir_k3_s2", "ir_k5_s2", "ir_k5_e6", *["skip"] * 4]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"operators": names}))
    for text in (",".join(names), ",".join(names).upper(), str(path)):
        assert parse_architecture(MICRO, text).id == "01578888"
    with pytest.raises(ValueError, match="'ir_k7_e1', a block with a kernel of 7x7, which none of the nine"):
        parse_architecture(MICRO, ",".join(["ir_k7_e1", *names[1:]]))
    space_file = tmp_path / "own.yaml"
    lines = ["input_size: 32", "stem: {channels: 8, stride: 1}", "last_channels: 16"]
    lines += ["stages: [{channels: 8, layers: 2, stride: 2}]", "operators: [ir_k3_e1, ir_k3_s2, skip]"]
    space_file.write_text("\n".join(lines))
    assert read_space(space_file).operators == ("k3_e1", "k3_e1_g2", "skip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "an architecture file must be JSON"),
        ("", "an architecture file must be JSON"),
        ("[" * 100_000, "an architecture file must be JSON"),
        ("3", "must hold `operators`, a list of names"),
        ("{}", "must hold `operators`, a list of names"),
        ('{"operators": "skip"}', "must hold `operators`, a list of names"),
        ('{"operators": [1, 2]}', "must hold `operators`, a list of names"),
        ('{"operators": ["skip"]}', "must have 8 operators, one a layer, but got 1"),
        (
            json.dumps({"space": "fbnet-cifar", "operators": ["skip"] * 8}),
            "belongs to the space 'fbnet-cifar', but `--space` is 'fbnet-micro'",
        ),
        (json.dumps({"id": "00000000", "operators": ["skip"] * 8}), "have the id 88888888, but it says '00000000'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        parse_architecture(MICRO, str(path))


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="an architecture file must exist"):
        parse_architecture(MICRO, str(tmp_path / "none.json"))
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(ValueError, match="an architecture file must be a file, but .* is a folder"):
        parse_architecture(MICRO, str(tmp_path / "folder.json"))
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(ValueError, match="an architecture file must be (JSON|UTF-8 text)"):
        parse_architecture(MICRO, str(tmp_path / "binary.json"))


@pytest.mark.parametrize("index", [-1, 9])
def test_indices_must_lie_in_the_space(index: int) -> None:
    with pytest.raises(ValueError, match=r"indices must lie in \[0, 8\]"):
        architecture_from_indices(MICRO, (0,) * 7 + (index,))
