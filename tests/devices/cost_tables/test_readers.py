import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from devices.cost_tables.other_shapes import check_shapes
from devices.cost_tables.pi4 import pi4_cost_table
from devices.cost_tables.readers import read_any_cost_table, read_any_cost_tables, split_table_paths
from search_space.nas_bench_201 import NasBench201Space
from search_space.operators import OPERATOR_NAMES, REPRODUCTION_NAMES
from search_space.spaces import FBNetSpace, space_named

Change = Callable[[list[str]], list[str]]
SPACE = space_named("fbnet-micro")
SECONDS = np.random.default_rng(0).uniform(0.001, 0.1, (8, 9)).round(6)
JOULES = np.random.default_rng(1).uniform(0.01, 1, (8, 9)).round(6)


def lines_of(values: npt.NDArray[np.float64]) -> list[str]:
    return [" ".join(str(value) for value in row) for row in values]


def write(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def hanna(tmp_path: Path) -> Path:
    return write(tmp_path / "latency.txt", lines_of(SECONDS))


@pytest.fixture
def energy(tmp_path: Path) -> Path:
    return write(tmp_path / "energy.txt", lines_of(JOULES))


@pytest.fixture
def reproduction(tmp_path: Path) -> Path:
    path = tmp_path / "lookup_table.txt"
    path.write_text("\n".join([" ".join(REPRODUCTION_NAMES), *lines_of(1e6 * SECONDS)]))
    return path


def test_this_projects_json_is_read_as_it_is(tmp_path: Path) -> None:
    table = analytic_cost_table(SPACE)
    table.write(tmp_path / "table.json")
    assert read_any_cost_table(tmp_path / "table.json", SPACE).to_json() == table.to_json()


def test_hannas_latencies_are_seconds_and_energy_is_modelled(hanna: Path) -> None:
    table = read_any_cost_table(hanna, SPACE)
    np.testing.assert_allclose(table.latency_ms, 1000 * SECONDS)
    np.testing.assert_allclose(table.energy_mj, 10 * table.latency_ms)
    assert (table.fixed_latency_ms, table.fixed_energy_mj) == (0, 0)
    assert (table.latency_source, table.energy_source) == ("published", "modelled")
    assert "HANNA; it has no stem and head, so the fixed cost is 0" in table.method
    assert "latency.txt" in table.board


def test_hannas_energies_are_joules(hanna: Path, energy: Path) -> None:
    table = read_any_cost_table(hanna, SPACE, energy_path=energy)
    np.testing.assert_allclose(table.latency_ms, 1000 * SECONDS)
    np.testing.assert_allclose(table.energy_mj, 1000 * JOULES)
    assert table.energy_source == "published"
    assert "read from energy.txt" in table.method


def test_the_reproductions_latencies_are_microseconds(reproduction: Path, energy: Path) -> None:
    table = read_any_cost_table(reproduction, SPACE)
    np.testing.assert_allclose(table.latency_ms, 1000 * SECONDS)
    assert (table.latency_source, table.energy_source) == ("published", "modelled")
    assert "reproduction of FBNet; it has no stem and head, so the fixed cost is 0" in table.method
    np.testing.assert_allclose(read_any_cost_table(reproduction, SPACE, energy_path=energy).energy_mj, 1000 * JOULES)


@pytest.mark.parametrize("name_of", [{ours: theirs for theirs, ours in REPRODUCTION_NAMES.items()}, {}])
def test_columns_go_by_name(tmp_path: Path, name_of: dict[str, str]) -> None:
    order = np.random.default_rng(0).permutation(9)
    names = [name_of.get(OPERATOR_NAMES[index], OPERATOR_NAMES[index]) for index in order]
    path = write(tmp_path / "lookup_table.txt", [" ".join(names), *lines_of(1e6 * SECONDS[:, order])])
    np.testing.assert_allclose(read_any_cost_table(path, SPACE).latency_ms, 1000 * SECONDS)


def test_a_space_with_some_of_the_operators_takes_their_columns(hanna: Path, reproduction: Path) -> None:
    space = replace(SPACE, operators=("k3_e1", "k5_e6", "skip"))
    for path in (hanna, reproduction):
        table = read_any_cost_table(path, space)
        np.testing.assert_allclose(table.latency_ms, 1000 * SECONDS[:, [0, 7, 8]])
        assert table.operators == space.operators


def without_last(lines: list[str]) -> list[str]:
    return lines[:-1]


def cut_line(lines: list[str]) -> list[str]:
    return [*lines[:-1], lines[-1].rsplit(" ", 2)[0]]


def longer_line(lines: list[str]) -> list[str]:
    return [*lines[:-1], f"{lines[-1]} 1.0"]


def twice(lines: list[str]) -> list[str]:
    return lines + lines[1:]


def with_entry(word: str) -> Change:
    def change(lines: list[str]) -> list[str]:
        words = lines[-3].split()
        return [*lines[:-3], " ".join([*words[:4], word, *words[5:]]), *lines[-2:]]

    return change


BROKEN = [
    (without_last, "8 lines of 9 numbers in .* but has 7 lines: it lacks layer 7, operator k3_e1"),
    (cut_line, "8 lines of 9 numbers in .* but lacks layer 7, operator k5_e6"),
    (longer_line, "8 lines of 9 numbers in .* but has 10 at layer 7, beyond operator skip"),
    (twice, "8 lines of 9 numbers in .* of `fbnet-micro` .* has 1[56] lines: it is for another space"),
    *(
        (with_entry(word), f"at layer 5, operator k5_e1, has '{word}', which is not a number of at least 0")
        for word in ("nan", "-0.5", "inf", "fast")
    ),
]


@pytest.mark.parametrize(("change", "rule"), BROKEN)
@pytest.mark.parametrize(
    ("form", "unit"), [("hanna", "seconds"), ("reproduction", "microseconds"), ("energy", "joules")]
)
def test_broken_files_are_refused_in_one_line(
    request: pytest.FixtureRequest, hanna: Path, form: str, unit: str, change: Change, rule: str
) -> None:
    path = request.getfixturevalue(form)
    write(path, change(path.read_text().splitlines()))
    with pytest.raises(ValueError, match=rule) as error:
        read_any_cost_table(hanna, SPACE, energy_path=path) if form == "energy" else read_any_cost_table(path, SPACE)
    assert str(path) in str(error.value)
    assert f"numbers in {unit}," in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("ir_k3_e1 skip", "all operators of `fbnet-micro`, but its first line lacks k3_e1_g2"),
        ("ir_k3_e1 k3_e1 skip", "name each operator once, but repeats 'ir_k3_e1'"),
        ("ir_k3_e1 ir_k7_e1 skip", "must be nine numbers or names of ir_k3_e1, .* but has 'ir_k7_e1'"),
        ("<html>", "must be nine numbers or names of ir_k3_e1, .* but has '<html>'"),
        (70 * "x", "but has 'x{40}"),
    ],
)
def test_other_first_lines_are_refused(tmp_path: Path, line: str, rule: str) -> None:
    path = write(tmp_path / "table.txt", [line, *lines_of(SECONDS)])
    with pytest.raises(ValueError, match=rule) as error:
        read_any_cost_table(path, SPACE)
    assert str(path) in str(error.value)


def test_a_table_for_another_space_is_refused(tmp_path: Path, hanna: Path, reproduction: Path) -> None:
    other = space_named("fbnet-cifar")
    analytic_cost_table(SPACE).write(tmp_path / "table.json")
    for path, rule in (
        (tmp_path / "table.json", "the space of a cost table must be .* fbnet-cifar, but .* has fbnet-micro"),
        (hanna, "22 lines .* of `fbnet-cifar` .* but has 8 lines: it lacks layer 8, operator k3_e1"),
        (reproduction, "22 lines .* of `fbnet-cifar` .* but has 8 lines: it lacks layer 8, operator k3_e1"),
    ):
        with pytest.raises(ValueError, match=rule) as error:
            read_any_cost_table(path, other)
        assert str(path) in str(error.value)


def test_a_text_table_is_for_the_fbnet_family(hanna: Path) -> None:
    with pytest.raises(ValueError, match="of the FBNet family, but .* was given for `nas-bench-201`"):
        read_any_cost_table(hanna, NasBench201Space())


def test_a_text_table_is_for_a_space_at_its_own_size(hanna: Path) -> None:
    with pytest.raises(ValueError, match="was given for `fbnet-cifar` at 64 pixels: omit `--size`, or profile"):
        read_any_cost_table(hanna, space_named("fbnet-cifar", size=64))


def test_broken_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text('{"space": ')
    with pytest.raises(ValueError, match="must be JSON, but .*table.json"):
        read_any_cost_table(path, SPACE)
    content = json.loads(json.dumps(analytic_cost_table(SPACE).to_json()))
    content["latency_ms"][2][3] = None
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="lacks layer 2, operator k3_e6"):
        read_any_cost_table(path, SPACE)


def test_a_family_is_read_whole_or_its_base_alone(tmp_path: Path) -> None:
    base = analytic_cost_table(SPACE)
    family = CostTables([base, replace(base, threads=4, latency_ms=base.latency_ms / 3)])
    family.write(tmp_path / "family.json")
    assert read_any_cost_tables(tmp_path / "family.json", SPACE).to_json() == family.to_json()
    assert read_any_cost_table(tmp_path / "family.json", SPACE).to_json() == base.to_json()
    with pytest.raises(ValueError, match="family.json': the space of a cost table must be that"):
        read_any_cost_tables(tmp_path / "family.json", space_named("fbnet-cifar"))


def test_a_json_table_takes_no_energy_file(tmp_path: Path, energy: Path) -> None:
    analytic_cost_table(SPACE).write(tmp_path / "table.json")
    with pytest.raises(ValueError, match=r"has its own energies: leave .*energy.txt' out"):
        read_any_cost_table(tmp_path / "table.json", SPACE, energy_path=energy)


@pytest.mark.parametrize(
    ("content", "rule"),
    [(b"", "is empty"), (b" \n\n", "is empty"), (b"\xff\xfe\x00", "a cost table file must be UTF-8 text, but")],
)
def test_files_that_are_no_tables_are_refused(tmp_path: Path, content: bytes, rule: str) -> None:
    path = tmp_path / "table.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rule):
        read_any_cost_table(path, SPACE)


def test_absent_files_and_folders_are_refused(tmp_path: Path, hanna: Path) -> None:
    for energy_path in (None, tmp_path / "absent.txt"):
        path = hanna if energy_path else tmp_path / "absent.txt"
        with pytest.raises(ValueError, match=r"must exist, but got .*absent.txt"):
            read_any_cost_table(path, SPACE, energy_path=energy_path)
    with pytest.raises(ValueError, match="a cost table file must be a file"):
        read_any_cost_table(tmp_path, SPACE)


def test_paths_may_be_texts(hanna: Path, energy: Path) -> None:
    table = read_any_cost_table(str(hanna), SPACE, energy_path=str(energy))
    assert table.to_json() == read_any_cost_table(hanna, SPACE, energy_path=energy).to_json()


IMAGENET, CIFAR = space_named("fbnet-imagenet"), space_named("fbnet-cifar")


@pytest.mark.parametrize("build", [pi4_cost_table, analytic_cost_table])
def test_a_table_of_other_pixels_is_refused_unless_it_names_its_space(
    tmp_path: Path, build: Callable[[FBNetSpace], CostTable]
) -> None:
    for own, other in ((IMAGENET, CIFAR), (CIFAR, IMAGENET)):
        path = write(tmp_path / "table.txt", lines_of(build(own).latency_ms / 1000))
        assert "within" not in read_any_cost_table(path, own).method
        with pytest.raises(ValueError, match=f"for, `{other.name}`, but .* fit the shapes of `{own.name}`") as error:
            read_any_cost_table(path, other)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        write(path, [f"# space: {other.name}", *path.read_text().splitlines()])
        assert read_any_cost_table(path, other).space == other.name
        with pytest.raises(ValueError, match=f"'{path}' says that it is for '{other.name}'"):
            read_any_cost_table(path, own)


def test_shapes_of_noisy_latencies_with_an_overhead() -> None:
    rng = np.random.default_rng(0)
    latency_ms = pi4_cost_table(IMAGENET).latency_ms
    noisy = latency_ms * np.exp(rng.normal(0, 0.1, latency_ms.shape)) + latency_ms.mean()
    assert check_shapes(noisy, IMAGENET, Path("t")) == ""
    with pytest.raises(ValueError, match="fit the shapes of `fbnet-imagenet` .224 pixels. within"):
        check_shapes(noisy, CIFAR, Path("t"))
    assert check_shapes(rng.uniform(1, 9, latency_ms.shape), CIFAR, Path("t")) == ""
    assert check_shapes(np.zeros_like(latency_ms), CIFAR, Path("t")) == ""


def test_paths_as_a_user_types_them(tmp_path: Path) -> None:
    assert split_table_paths("a.txt") == (Path("a.txt"), None)
    assert split_table_paths("a.txt, b.txt") == (Path("a.txt"), Path("b.txt"))
    odd = write(tmp_path / "a,b.txt", ["1"])
    assert split_table_paths(str(odd)) == (odd, None)
    for text in ("a,b,c", "a,", ""):
        with pytest.raises(ValueError, match="`FILE` or `LATENCY_FILE,ENERGY_FILE`"):
            split_table_paths(text)


def test_hannas_own_tables(reference: Path) -> None:
    space = space_named("fbnet-cifar")
    latency, energy = (reference / f"hanna_pi3b_{name}.txt" for name in ("latency_s", "energy_j"))
    table = read_any_cost_table(latency, space, energy_path=energy)
    np.testing.assert_allclose(table.latency_ms, 1000 * np.loadtxt(latency))
    np.testing.assert_allclose(table.energy_mj, 1000 * np.loadtxt(energy))
