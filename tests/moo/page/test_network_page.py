from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect
from starlette.testclient import TestClient

from moo.formatting import cost, short
from moo.page.network_view import drawn_json
from moo.page.opened import OpenedRun
from moo.page.opened import opened as opened_run
from moo.page.settings import PageSettings
from moo.storage.run_folder import RunFolder
from tests.moo.page.conftest import Opened, client_of

NETWORKS = "/api/runs/finished/-/networks"


def one_of_the_front(found: OpenedRun) -> str:
    """A network that has files."""
    return found.front[0].id


def test_layers_are_those_of_the_architecture_and_come_to_the_predicted_costs(
    asking: TestClient, found: OpenedRun
) -> None:
    tables, space = found.archive.tables, found.origin.space
    assert tables is not None
    for entry in found.archive.entries:
        told = drawn_json(found, entry.architecture)
        operators = [layer["operator"] for layer in told["layers"]]
        assert operators == list(entry.architecture.operators)
        indices = [space.operators.index(name) for name in operators]
        for table in tables:
            costs = told["costs"][table.configuration.label]
            for name, predicted in (("latency_ms", table.latency_of), ("energy_mj", table.energy_of)):
                assert costs[name]["fixed"] + sum(costs[name]["layers"]) == pytest.approx(predicted(indices))
                assert costs[name]["sum"] == pytest.approx(predicted(indices))
    handed_over = json.loads((found.folder.networks / one_of_the_front(found) / "architecture.json").read_text())
    shown = asking.get(
        f"{NETWORKS}/{one_of_the_front(found)}/layers", params={"configuration": found.archive.base.label}
    ).json()
    assert [row[4] for row in shown["table"]["rows"]] == handed_over["operators"]
    told = shown["networks"][0]["image"][1]["aria-label"]
    assert told.endswith(": " + ", ".join(handed_over["operators"]))


def test_an_unmeasured_point_costs_what_its_layers_come_to(unmeasured_run: RunFolder) -> None:
    asking = client_of(PageSettings(runs=unmeasured_run.path.parent))
    place = f"/api/runs/{unmeasured_run.path.name}/-/networks"
    first = asking.get(place).json()["networks"][0]["id"]
    run = opened_run(unmeasured_run)
    costs = drawn_json(run, run.archive[first].architecture)["costs"]
    (points,) = asking.get(f"{place}/{first}").json()["sections"]
    assert points["title"] == "Operating points"
    assert points["rows"]
    for configuration, weights, _, _, latency, energy, _ in points["rows"]:
        assert weights == "inherited"
        assert latency == cost(costs[configuration]["latency_ms"]["sum"], "ms", "modelled")
        assert energy.startswith(cost(costs[configuration]["energy_mj"]["sum"], "mJ", "modelled"))


def test_measurements_are_told_with_their_conditions(asking: TestClient, found: OpenedRun) -> None:
    entry = next(entry for entry in found.archive.entries if entry.measurements)
    sections = {one["title"]: one for one in asking.get(f"{NETWORKS}/{entry.architecture.id}").json()["sections"]}
    first = entry.measurements[0]
    (row,) = [row for row in sections["Measurements"]["rows"] if row[0].startswith(first.configuration.label)]
    assert row[0] == f"{first.configuration.label}, inherited"
    assert row[2] == f"{short(first.median_ms)} ms ({short(first.iqr_ms)})"
    assert row[-1] == f"{first.board}; {first.runtime}; {first.os}"


@pytest.mark.parametrize(
    ("place", "status"), [("999/layers?configuration=ort 1t fp32", 404), ("{first}/layers?configuration=x", 422)]
)
def test_layers_of_what_is_not_there_are_refused(asking: TestClient, found: OpenedRun, place: str, status: int) -> None:
    assert asking.get(f"{NETWORKS}/{place.format(first=one_of_the_front(found))}").status_code == status


def test_files_are_sent_as_they_are(asking: TestClient, found: OpenedRun) -> None:
    name = one_of_the_front(found)
    listed = [file["name"] for file in asking.get(f"{NETWORKS}/{name}").json()["files"]]
    assert {"architecture.json", "weights.safetensors", "model.onnx", "card.md"} <= {*listed}
    for file in listed:
        answer = asking.get(f"{NETWORKS}/{name}/files/{file}")
        assert answer.content == (found.folder.networks / name / file).read_bytes()
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}-{file}"'


@pytest.mark.parametrize("file", ["../../config.json", "..%2F..%2Fconfig.json", "checkpoint.pt", "adaptive", ""])
def test_nothing_but_known_files_is_sent(asking: TestClient, found: OpenedRun, file: str) -> None:
    assert asking.get(f"{NETWORKS}/{one_of_the_front(found)}/files/{file}").status_code == 404


def test_a_network_that_was_not_evaluated_is_not_there(asking: TestClient) -> None:
    assert asking.get(f"{NETWORKS}/..").status_code == 404
    answer = asking.get(f"{NETWORKS}/999")
    assert (answer.status_code, answer.json()) == (404, {"error": "the run has no network '999'"})


def test_links_are_not_followed_and_html_in_a_card_stays_text(finished_run: RunFolder, tmp_path: Path) -> None:
    shutil.copytree(finished_run.path, tmp_path / "copied")
    folder = RunFolder(tmp_path / "copied")
    name = opened_run(folder).front[0].id
    asking, place = client_of(PageSettings(runs=tmp_path)), f"/api/runs/copied/-/networks/{name}"
    own = folder.networks / name
    (own / "card.md").write_text("# <img src=x onerror=alert(1)>\n\n[go](javascript:alert(1))\n")
    card = asking.get(f"{place}/card").json()["html"]
    assert "<img" not in card
    assert "&lt;img src=x onerror=alert(1)&gt;" in card
    assert 'href="javascript' not in card
    (own / "model.onnx").unlink()
    (own / "model.onnx").symlink_to(folder.config)
    assert asking.get(f"{place}/files/model.onnx").status_code == 404
    own.rename(folder.path / "elsewhere")
    own.symlink_to(folder.path / "elsewhere")
    assert asking.get(f"{place}/files/weights.safetensors").status_code == 404
    assert asking.get(place).json()["files"] == []


def test_two_networks_beside_each_other_with_differing_layers_marked(opened: Opened, found: OpenedRun) -> None:
    one, other = found.front[0].entry.architecture, found.front[-1].entry.architecture
    window = opened()
    page = window.go(f"/runs/finished/-/network/{one.id}/{other.id}")
    differing = sum(a != b for a, b in zip(one.operators, other.operators, strict=True))
    assert differing
    expect(page.locator("svg.layers text.unequal")).to_have_count(2 * differing)
    page.get_by_text("Layers as a table").click()
    cells = page.locator("table").first.locator("tbody tr td:nth-child(5)").all_inner_texts()
    assert cells == list(one.operators)
    with page.expect_download() as started:
        page.get_by_role("link", name="model.onnx").first.click()
    assert started.value.path().read_bytes() == (found.folder.networks / one.id / "model.onnx").read_bytes()
    page.get_by_text("card.md", exact=True).last.click()
    page.frame_locator("iframe").last.locator("h1").wait_for()
    page.get_by_label("beside").select_option("")
    page.wait_for_url(f"**/network/{one.id}")
    window.assert_quiet()
