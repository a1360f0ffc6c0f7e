"""Records read back from JSON: what may be absent, and how bad values are named."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from search_space.boundary.records import record_from_json


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    x: float
    label: str = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class Circle:
    centre: Point
    radius: int

    def __post_init__(self) -> None:
        if self.radius < 1:
            raise ValueError(f"`radius >= 1` must hold, but got {self.radius}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    shapes: tuple[Point, ...]
    size: tuple[int, int]
    main: Circle | Point
    versions: Mapping[str, str]
    title: str | None
    frame: Circle | None = None


DRAWING = Drawing(
    shapes=(Point(x=0.1), Point(x=2.0, label="b")),
    size=(3, 4),
    main=Circle(centre=Point(x=1.0), radius=2),
    versions={"torch": "2.4"},
    title="all",
)
CONTENT = json.loads(json.dumps(dataclasses.asdict(DRAWING)))


def test_a_record_comes_back_as_it_was() -> None:
    assert record_from_json(Drawing, CONTENT, where="drawing") == DRAWING
    other = dataclasses.replace(DRAWING, main=Point(x=3.0), frame=Circle(centre=Point(x=0.0), radius=1), shapes=())
    assert record_from_json(Drawing, json.loads(json.dumps(dataclasses.asdict(other))), where="drawing") == other


@dataclass(frozen=True)
class Switch:
    on: bool = True
    number: int = 1


def test_true_and_false_are_no_numbers_and_numbers_are_not_true_or_false() -> None:
    assert record_from_json(Switch, {"on": False}, where="switch") == Switch(on=False)
    with pytest.raises(ValueError, match="`switch.on` must be true or false, but got 1"):
        record_from_json(Switch, {"on": 1}, where="switch")
    with pytest.raises(ValueError, match="`switch.number` must be a whole number, but got True"):
        record_from_json(Switch, {"number": True}, where="switch")


def test_what_is_absent_has_its_default_or_none_and_unknown_keys_are_passed_over() -> None:
    content = {name: value for name, value in CONTENT.items() if name not in ("title", "frame")} | {"colour": 1}
    assert record_from_json(Drawing, content, where="drawing") == dataclasses.replace(DRAWING, title=None)
    assert record_from_json(Point, {"x": 1}, where="point") == Point(x=1, label="none")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": [1]}, "`drawing.size` must be a list of 2, but got [1]"),
        ({"size": [1, 2.5]}, "`drawing.size[1]` must be a whole number, but got 2.5"),
        ({"size": [1, True]}, "`drawing.size[1]` must be a whole number, but got True"),
        ({"size": None}, "`drawing.size` must be a list, but got None"),
        ({"shapes": [{"x": "a"}]}, "`drawing.shapes[0].x` must be a number, but got 'a'"),
        ({"shapes": [{}]}, "`drawing.shapes[0].x` must be there, but is missing"),
        ({"shapes": [3]}, "`drawing.shapes[0]` must be an object, but got 3"),
        ({"title": 3}, "`drawing.title` must be a text, but got 3"),
        ({"versions": {"torch": 2}}, "`drawing.versions.torch` must be a text, but got 2"),
        ({"versions": []}, "`drawing.versions` must be an object, but got []"),
        ({"main": {"colour": 1}}, "`drawing.main.x` must be there, but is missing"),
        ({"main": 1}, "`drawing.main` must be an object, but got 1"),
        (
            {"main": {"centre": {"x": 1}, "radius": 0}},
            "`drawing.main` breaks a rule: `radius >= 1` must hold, but got 0",
        ),
    ],
)
def test_a_bad_value_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        record_from_json(Drawing, CONTENT | changes, where="drawing")
    assert str(error.value) == message


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^`drawing` must be an object, but got \[\]$"):
        record_from_json(Drawing, [], where="drawing")
