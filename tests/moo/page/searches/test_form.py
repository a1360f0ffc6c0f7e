from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from moo.config import SearchConfig
from moo.page.searches.form import NOT_FROM_THE_PAGE, form_json, options_from_the_page, read_form, words_of
from moo.page.settings import PageSettings
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import SearchState, write_state
from scripts.pareto_search import read_command_line
from tests.moo.conftest import ORIGIN as RUN_ORIGIN
from tests.moo.page.conftest import client_of
from tests.moo.page.searches.conftest import write_begun_run

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
        (
            {"method": "magic"},
            "`--method` must be one of dnas, random, grid, architectures, bayesian, but got 'magic'.",
        ),
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


def test_a_search_starts_from_a_finished_run_of_the_server_alone(
    client: TestClient, settings: PageSettings, template: Path
) -> None:
    def posted(name: Any) -> Any:
        return client.post("/api/searches/check", json={"settings": {"from_run": name}}, headers=ORIGIN)

    assert posted("sub/old").json()["error"] == (
        "`--from` must name a finished run of this server's, but it has none: got 'sub/old'."
    )
    for name, ended in (("sub/old", True), ("goes-on", False), ("bare", True)):
        folder = RunFolder(settings.runs / name)
        write_begun_run(folder.path)
        write_state(folder, SearchState(ended=ended))
        if name != "bare":
            folder.supernet.parent.mkdir()
            folder.supernet.touch()
    (settings.runs / "link").symlink_to(settings.runs / "sub")
    options = [option for group in form_json(settings)["groups"] for option in group["common"] + group["more"]]
    assert [option["choices"] for option in options if option["field"] == "from_run"] == [("sub/old",)]
    assert f" --from {settings.runs}/sub/old " in posted("sub/old").json()["command"]
    for other in ("goes-on", "bare", "link/old", str(settings.runs / "sub/old"), "../runs/sub/old", "", ["sub/old"]):
        answer = posted(other)
        assert answer.status_code == 422
        assert "`--from` must be" in answer.json()["error"]
    assert {path.name for path in settings.runs.iterdir()} == {"sub", "goes-on", "bare", "link"}


def test_settings_of_the_run_to_start_from_are_the_defaults_as_on_the_command_line(
    client: TestClient, settings: PageSettings
) -> None:
    def write(name: str, **values: Any) -> None:
        folder = RunFolder(settings.runs / name)
        folder.write_config(SearchConfig(space="fbnet-micro", size=32, **values), RUN_ORIGIN)
        folder.store.touch()
        write_state(folder, SearchState(ended=True))
        folder.supernet.parent.mkdir()
        folder.supernet.touch()

    def check(name: str, **values: Any) -> tuple[SearchConfig, list[str]]:
        form = read_form({"settings": {"from_run": name} | values}, settings)
        words = words_of(form.config, options_from_the_page(settings).values(), form.defaults)
        # The command line comes to the very settings that the form showed.
        assert read_command_line(words) == form.config
        return form.config, words

    write("mine", dataset="photos", image_column="picture", flip=False, samples=7, measure=False, seed=3)
    config, words = check("mine")
    assert (config.dataset, config.image_column, config.flip, config.samples) == ("photos", "picture", False, 7)
    assert (config.space, config.seed, config.measure) == ("fbnet-micro", 3, True)
    assert words == ["--from", f"{settings.runs}/mine"]
    config, words = check("mine", dataset="digits", samples="4", flip="yes")
    assert (config.dataset, config.image_column, config.flip, config.samples) == ("digits", None, True, 4)
    # A data set that the server was not started with is never searched on, though the run was.
    write("elsewhere", dataset="/elsewhere/photos", image_column="picture")
    config, words = check("elsewhere")
    assert (config.dataset, config.image_column) == ("digits", None)
    assert "--dataset" in words
    shown = {
        option["field"]: option
        for group in client.get("/api/form?from=mine").json()["groups"]
        for option in group["common"] + group["more"]
    }
    told = {name: shown[name]["default"] for name in ("dataset", "flip", "samples", "space", "size", "from_run")}
    assert told == {
        "dataset": "photos", "flip": "no", "samples": "7", "space": "fbnet-micro", "size": "32", "from_run": "mine"
    }  # fmt: skip
    assert client.get("/api/form?from=../mine").status_code == 422


def test_the_form_has_every_option_but_those_that_are_the_servers(settings: PageSettings) -> None:
    shown = {
        option["field"]: option for group in form_json(settings)["groups"] for option in group["common"] + group["more"]
    }
    # There is no run that another could start from.
    assert set(shown) == set(options_from_the_page(settings)) - {"from_run"}
    assert not set(shown) & NOT_FROM_THE_PAGE
    assert shown["theta_steps"]["text"] == "Gradient steps on theta in each inner search."
    assert shown["dataset"]["choices"] == ("digits", "photos")
    assert shown["device"]["default"] == "host"
