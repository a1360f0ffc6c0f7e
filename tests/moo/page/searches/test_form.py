from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.testclient import TestClient

from moo.page.searches.form import NOT_FROM_THE_PAGE, form_json, options_from_the_page, read_form, words_of
from moo.page.settings import PageSettings
from scripts.pareto_search import read_command_line
from tests.moo.page.conftest import client_of

ORIGIN = {"origin": "http://127.0.0.1:8500"}


@pytest.fixture
def client(settings: PageSettings) -> TestClient:
    return client_of(settings)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"population": "4", "generations": 2, "device": ["pi4"], "flip": "yes", "measure": False, "seed": 3},
        {"threads": "1, 2", "precision": ["int8"], "alpha": "0.01 2", "space": "fbnet-micro", "entropy_weight": 1e-7},
        {"dataset": "photos", "image_column": "a picture", "flip": "no", "minutes": "2.5", "error": "balanced"},
        {"device": ["pi4", "pi5"], "gamma": ["0", "0"], "adaptive": True},
    ],
)
def test_words_are_read_by_the_command_line_as_the_form_was(settings: PageSettings, values: dict[str, Any]) -> None:
    config = read_form({"settings": values}, settings).config
    words = words_of(config, options_from_the_page(settings).values())
    assert read_command_line(words) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"population": "3"}, "`--population >= 4` must hold for coefficients to be evolved"),
        ({"population": "x"}, "`--population` must be a whole number, but got 'x'."),
        ({"entropy_weight": "x"}, "`--entropy-weight` must be a number, but got 'x'."),
        ({"alpha": "1"}, "`--alpha` must be followed by 2 values, but got ['1']."),
        ({"method": "magic"}, "`--method` must be one of dnas, random, grid, architectures, but got 'magic'."),
        ({"flip": "maybe"}, "`--flip` must be true or false, but got 'maybe'."),
        ({"population": {"a": 1}}, "`--population` must be a short value"),
        ({"population": "9" * 500}, "`--population` must be a short value"),
        ({"minutes": "2", "generations": "3"}, "`--generations` must go with a search that ends with them"),
        ({"dataset": "/etc/passwd"}, "`--dataset` must be one of digits, photos, but got '/etc/passwd'"),
        ({"dataset": "../photos"}, "`--dataset` must be one of"),
        ({"device": ["ssh://me@elsewhere"]}, "`--device` must be one of host, pi4, pi5, but got"),
        ({"device": ["table.json"]}, "`--device` must be one of host, pi4, pi5, but got"),
        ({"space": "/etc/space.yaml"}, "`--space` must be one of"),
        ({"image_column": '"; touch x"'}, "`--image-column` must be a name of letters and digits"),
        ({"train_split": "../x"}, "`--train-split` must be a name of letters and digits"),
        ({"test_split": "--out"}, "`--test-split` must be a name of letters and digits"),
        ({"colour": "red"}, "'colour' must be set where the server or a terminal is"),
        *(({one: "x"}, f"'{one}' must be set where the server or a terminal is") for one in sorted(NOT_FROM_THE_PAGE)),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_happens(
    client: TestClient, settings: PageSettings, values: dict[str, Any], message: str
) -> None:
    for place in ("/api/searches/check", "/api/searches"):
        answer = client.post(place, json={"settings": values}, headers=ORIGIN)
        assert answer.status_code == 422
        assert message in answer.json()["error"]
    assert [*settings.runs.iterdir()] == []


@pytest.mark.parametrize(
    "content", [b"[]", b'{"name": "../x"}', b'{"name": "-x"}', b'{"more": 1}', b"{", b'{"settings": 1}']
)
def test_other_forms_are_refused(client: TestClient, settings: PageSettings, content: bytes) -> None:
    headers = ORIGIN | {"content-type": "application/json"}
    assert client.post("/api/searches", content=content, headers=headers).status_code == 422
    assert [*settings.runs.iterdir()] == []


def test_the_command_is_shown_before_it_is_run(client: TestClient, settings: PageSettings) -> None:
    content = {"name": "mine", "settings": {"population": 4, "device": ["pi4"]}}
    answer = client.post("/api/searches/check", json=content, headers=ORIGIN).json()
    assert answer["command"] == (
        f"python scripts/pareto_search.py --device pi4 --population 4 --out {settings.runs}/mine --quiet"
    )
    unnamed = client.post("/api/searches/check", json={"settings": {"space": "fbnet-micro"}}, headers=ORIGIN).json()
    assert re.fullmatch(r"digits-fbnet-micro-\d{8}-\d{6}", unnamed["name"])


def test_the_form_has_every_option_but_those_that_are_the_servers(settings: PageSettings) -> None:
    shown = {
        option["field"]: option for group in form_json(settings)["groups"] for option in group["common"] + group["more"]
    }
    assert set(shown) == set(options_from_the_page(settings))
    assert not set(shown) & NOT_FROM_THE_PAGE
    assert shown["theta_steps"]["text"] == "Gradient steps on theta in each inner search."
    assert shown["dataset"]["choices"] == ("digits", "photos")
    assert shown["device"]["default"] == "host"
