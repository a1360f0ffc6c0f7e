"""Options of a dataclass, and how booleans may be spelled."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from typing import Annotated, Any, Literal

import pytest
import tyro
from tyro.conf import Positional, UseAppendAction

from scripts.interface.command_line import parse
from scripts.interface.options import MisspeltError, in_plain_spelling, options_of


@dataclass(frozen=True)
class Base:
    """What all have."""

    quiet: bool = False
    """Say less."""
    mirror: bool | None = None
    """Mirror images;
    found out by default."""


@dataclass(frozen=True)
class Inner:
    """More of it."""

    depth: int = 3
    """How deep."""


@dataclass(frozen=True)
class Config(Base):
    """A config."""

    measure: bool = True
    """Measure."""
    method: Literal["one", "two"] = "one"
    """How."""
    precision: tuple[Literal["fp32", "int8"], ...] = ()
    """Numbers."""
    device: Annotated[tuple[str, ...], UseAppendAction] = ()
    """Boards."""
    from_run: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Another run."""
    limit_ms: float | None = None
    """Most."""
    inner: Inner = field(default_factory=Inner)


@dataclass(frozen=True)
class PlacedConfig:
    """A config with a place."""

    run: Positional[str]
    """Where."""
    fresh: bool = False
    """Anew."""


def test_options_have_names_kinds_texts_and_defaults_of_the_fields() -> None:
    options = {option.name: option for option in options_of(Config)}
    assert [*options] == [
        "quiet", "mirror", "measure", "method", "precision", "device", "from", "limit-ms", "depth",
    ]  # fmt: skip
    assert options["mirror"].text == "Mirror images; found out by default."
    assert (options["mirror"].is_boolean, options["mirror"].is_optional) == (True, True)
    assert (options["limit-ms"].kind, options["limit-ms"].default) == (float, None)
    assert options["method"].choices == ("one", "two")
    assert options["precision"].choices == ("fp32", "int8")
    assert options["device"].is_repeatable
    assert not options["precision"].is_repeatable
    assert options["depth"].default == 3


def test_a_default_replaces_the_values_of_the_class() -> None:
    options = {option.name: option.default for option in options_of(Config, Config(measure=False, inner=Inner(7)))}
    assert (options["measure"], options["depth"]) == (False, 7)


def test_a_positional_one_without_default_is_required() -> None:
    run, fresh = options_of(PlacedConfig)
    assert (run.is_positional, run.is_required, run.default) == (True, True, MISSING)
    assert (fresh.is_positional, fresh.is_required) == (False, False)


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ([], Config()),
        (["--mirror"], Config(mirror=True)),
        (["--no-mirror"], Config(mirror=False)),
        (["--mirror", "False"], Config(mirror=False)),
        (["--mirror=true"], Config(mirror=True)),
        (["--mirror", "None"], Config()),
        (["--no-measure"], Config(measure=False)),
        (["--measure", "False"], Config(measure=False)),
        (["--measure=True", "--no-quiet"], Config()),
        (["--quiet", "--limit-ms", "-1"], Config(quiet=True, limit_ms=-1.0)),
        (["--quiet", "true", "--limit_ms=2"], Config(quiet=True, limit_ms=2.0)),
        (["--precision", "fp32", "int8", "--no-mirror"], Config(precision=("fp32", "int8"), mirror=False)),
        (["--device", "a", "--device=b"], Config(device=("a", "b"))),
        (["--from", "x", "--depth", "2"], Config(from_run="x", inner=Inner(2))),
    ],
)
def test_every_natural_spelling_is_read(argv: list[str], expected: Config) -> None:
    assert parse(Config, argv) == expected


def test_a_boolean_takes_no_place_away() -> None:
    assert parse(PlacedConfig, ["--fresh", "runs/first"]) == PlacedConfig("runs/first", fresh=True)
    assert parse(PlacedConfig, ["--no-fresh", "runs/first"]) == PlacedConfig("runs/first")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--mirrors"], "there is no option --mirrors: did you mean --mirror?"),
        (["--no-mesure"], "there is no option --no-mesure: did you mean --no-measure?"),
        (["--no-method"], "there is no option --no-method: did you mean --method?"),
        (["--limit=3"], "there is no option --limit: did you mean --limit-ms?"),
        (["--zzz"], "there is no option --zzz."),
        (["--mirror", "maybe"], "`--mirror` must be given as --mirror or --no-mirror, but got 'maybe' with it."),
        (["--no-mirror=True"], "`--mirror` must be given as --mirror or --no-mirror, but got 'True' with it."),
        (["--measure", "None"], "`--measure` must be given as --measure or --no-measure, but got 'None' with it."),
    ],
)
def test_misspelt_options_are_refused_with_the_nearest(argv: list[str], message: str) -> None:
    with pytest.raises(MisspeltError) as error:
        in_plain_spelling(argv, options_of(Config))
    assert str(error.value) == message


def test_a_positional_one_is_no_option() -> None:
    with pytest.raises(MisspeltError, match=r"there is no option --run\.$"):
        in_plain_spelling(["--run", "x"], options_of(PlacedConfig))


def test_a_field_without_a_docstring_has_no_text() -> None:
    @dataclass
    class Bare:
        """Nothing is said."""

        left: int = 1
        right: Any = None

    assert [option.text for option in options_of(Bare)] == ["", ""]
