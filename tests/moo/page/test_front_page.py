from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from devices.configuration import RuntimeConfiguration
from moo.analysis.selection import (
    ConfigurationFilter,
    Limits,
    PointKey,
    best_within,
    excesses,
    in_configurations,
    nearest_to,
    read_front,
    three_choices,
)
from moo.page.settings import PageSettings
from moo.report.explore import explore_html
from moo.storage.adaptive_front import write_adaptive_front
from moo.storage.run_folder import RunFolder
from moo.storage.store import open_store
from tests.moo.adaptive_points import adaptive_point
from tests.moo.conftest import TrainedOf
from tests.moo.page.conftest import MeasuringBoard, Opened, Watched, client_of

HOSTILE = "<img src=x onerror=window.caught=1>"
NO_WEBGL = """const get = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") || kind.startsWith("experimental-webgl") ? null : get.call(this, kind, ...rest);
};"""
DOTS = """(kind) => {
  const path = document.querySelector(".pane .dots" + kind);
  const dots = path.getAttribute("d").match(/[-\\d.]+,[-\\d.]+/g) ?? [];
  const [x, y] = dots.map((dot) => dot.split(",").map(Number)).reduce((a, b) => (b[1] < a[1] ? b : a), [0, Infinity]);
  const at = new DOMPoint(x, y).matrixTransform(path.getScreenCTM());
  return [dots.indexOf(`${x.toFixed(1)},${y.toFixed(1)}`), dots.length, [at.x, at.y]];
}"""
"""Of the dots of a kind in the first pane: which is the highest, how many there are, where that is in the window."""
RINGS = """() => [...document.querySelectorAll(".pane")].slice(0, 3).map((pane) => pane.layout.shapes
  .filter((shape) => shape.line.width === 3).map((shape) => [shape.xanchor, shape.yanchor]))"""
"""Where each pane has its marks."""
CAMERA = """() => {
  const { scene } = document.querySelector(".pane:last-child")._fullLayout;
  const { eye, up, center } = scene._scene.getCamera();
  const points = Object.values(scene._scene.traces).reduce((sum, trace) => sum + trace.data.x.length, 0);
  return [[eye, up, center].flatMap((one) => [one.x, one.y, one.z]), points];
}"""
"""Where the camera of the pane in space is, as drawn, and how many points it shows."""
KEPT_CAMERA = """() => {
  const { eye, up, center } = document.querySelector(".pane:last-child")._fullLayout.scene.camera;
  return [eye, up, center].flatMap((one) => [one.x, one.y, one.z]);
}"""
RANGE = "document.querySelector('.pane').layout.xaxis.range"
FIELDS = """async (values) => values.map((await import("page/front.js")).csvField)"""


def front_of(folder: RunFolder) -> dict[str, Any]:
    """What the page is told of a run."""
    answer = client_of(PageSettings(runs=folder.path.parent)).get(f"/api/runs/{folder.path.name}/-/front")
    assert answer.status_code == 200
    content: dict[str, Any] = answer.json()
    return content


def rows_of(content: dict[str, Any]) -> list[dict[str, Any]]:
    """Its points."""
    return [dict(zip(content["columns"], row, strict=True)) for row in content["rows"]]


def shown(window: Watched, run: str) -> Page:
    """The Front page of a run, with its points, in space too."""
    page = window.go(f"/runs/{run}/-/front")
    drawn(page)
    return page


def turned(page: Page) -> list[float]:
    """Turn the space by the mouse until that has stopped; returns the camera as plotly has kept it.

    Where frames take long, it goes on turning for some after the mouse was let go, which plotly does not keep.
    """
    at_first = before = page.evaluate(CAMERA)[0]
    box = page.locator(".pane:last-child canvas").first.bounding_box()
    assert box is not None
    for number in range(40):
        if number % 8 == 0 and before == at_first:
            # The first strokes are lost where it is still being drawn.
            page.mouse.move(box["x"] + 150, box["y"] + 120)
            page.mouse.down()
            page.mouse.move(box["x"] + 230, box["y"] + 150, steps=4)
            page.mouse.up()
        page.wait_for_timeout(150)
        now = page.evaluate(CAMERA)[0]
        if now == before != at_first:
            kept: list[float] = page.evaluate(KEPT_CAMERA)
            assert kept != at_first
            return kept
        before = now
    raise AssertionError("the space did not turn, or not stop")


def drawn(page: Page) -> None:
    """Wait until all is drawn."""
    page.locator(".panes:not([aria-busy]) path.point").first.wait_for()
    page.locator(".pane:last-child").locator("canvas, p").first.wait_for(state="attached")


def test_points_are_those_of_front_json_with_all_others_beside_them(finished_run: RunFolder) -> None:
    content = front_of(finished_run)
    rows, front = rows_of(content), read_front(finished_run.path)
    keys = ("id", "error", "error_low", "error_high", "latency_ms", "energy_mj", "latency_source", "energy_source")
    named = [tuple(row[key] for key in keys) for row in rows if row["front"]]
    assert named == [tuple(getattr(point, key) for key in keys) for point in front]
    assert [row["same_as"] for row in rows if row["front"]] == [point.same_as and [*point.same_as] for point in front]
    assert {row["weights"] for row in rows} == {"inherited"}
    assert len({row["id"] for row in rows}) == content["networks"]
    client = client_of(PageSettings(runs=finished_run.path.parent))
    again = client.get(f"/api/runs/finished/-/front?since={content['stamp']}")
    assert again.json() == {"stamp": content["stamp"]}


def test_points_with_early_exits_are_told_and_a_damaged_front_of_them_is_too(
    finished_run: RunFolder, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "adapted")
    shutil.copytree(finished_run.path, folder.path)
    write_adaptive_front(folder.adaptive_front, [adaptive_point(), adaptive_point(0.1, 5.0, 9.0, exits=0)])
    content = front_of(folder)
    assert [kind["kind"] for kind in content["kinds"]] == ["inherited", "exits", "worst"]
    for kind, latencies in (("exits", [5.0, 4.0]), ("worst", [6.0, 6.0])):
        found = [row for row in rows_of(content) if row["kind"] == kind]
        assert [row["exits"] for row in found] == ["none", "after layer 1: 60 %"]
        assert [row["latency_ms"] for row in found] == latencies
    folder.adaptive_front.write_text("[]")
    content = front_of(folder)
    assert [kind["kind"] for kind in content["kinds"]] == ["inherited"]
    assert "front_adaptive.json" in content["note"]


@dataclass(frozen=True)
class Made:
    """A made-up point, as choosing needs it."""

    number: int
    error: float
    latency_ms: float
    energy_mj: float
    beats_guessing: bool | None = None
    same_as: PointKey | None = None
    configuration: RuntimeConfiguration | None = None

    @property
    def key(self) -> PointKey:
        return str(self.number), None


def made_front(rng: np.random.Generator) -> list[Made]:
    """Points, some of which are alike in an objective, best accuracy first."""
    values = rng.integers(1, 8, (int(rng.integers(1, 12)), 3)) / 8 if rng.random() < 0.5 else rng.random((9, 3))
    return [Made(number, *point) for number, point in enumerate(sorted(map(tuple, values.tolist())))]


def test_points_within_limits_are_those_of_select_network(opened: Opened) -> None:
    rng, cases, wanted = np.random.default_rng(0), [], []
    for _ in range(200):
        points = made_front(rng)
        drawn = [None if rng.random() < 0.4 else float(rng.random() * 1.1 + 1e-3) for _ in range(3)]
        limits = Limits(drawn[0], drawn[1], None if drawn[2] is None else min(1.0, drawn[2]))
        best, nearest = best_within(points, limits), nearest_to(points, limits)
        told = [asdict(point) | {"id": point.number} for point in points]
        cases.append([told, {"latency_ms": drawn[0], "energy_mj": drawn[1], "error": limits.max_error}])
        exceeded = [[one.quantity, one.ratio] for one in excesses(nearest, limits)]
        wanted.append([best and best.number, nearest.number, exceeded])
    found = opened().page.evaluate(
        """async (cases) => {
        const c = await import("page/choosing.js");
        return cases.map(([points, limits]) => [
          c.bestWithin(points, limits)?.id ?? null, c.nearestTo(points, limits).id,
          c.excesses(c.nearestTo(points, limits), limits).map((one) => [one.quantity, one.ratio]),
        ]);
        }""",
        cases,
    )
    assert found == wanted


def test_choices_are_those_of_select_network_in_any_configuration(finished_run: RunFolder) -> None:
    content, front = front_of(finished_run), read_front(finished_run.path)
    (kind,), rows = content["kinds"], rows_of(content)
    for asked, wanted in {
        "///": ConfigurationFilter(),
        "/2//": ConfigurationFilter(threads=(2,)),
        "/1//fp32": ConfigurationFilter(threads=(1,), precisions=("fp32",)),
    }.items():
        choices = [(name, rows[place]) for name, place in kind["choices"][asked]]
        expected = three_choices(in_configurations(front, wanted))
        assert [(name, row["id"], row["configuration"]) for name, row in choices] == [
            (name, *point.key) for name, point in expected
        ]
    assert {asked.split("/")[2] for asked in kind["choices"]} == {"", "null"}


def test_hovering_limits_choices_and_csv(opened: Opened, finished_run: RunFolder, tmp_path: Path) -> None:
    window = opened(viewport={"width": 1400, "height": 1000})
    page, front = shown(window, "finished"), read_front(finished_run.path)
    for name, point in three_choices(front):
        page.locator(".choices li", has_text=f"{name}: {point.id} in").wait_for()

    # The most accurate point lies lowest; all points of the same network are marked.
    assert page.evaluate(RINGS) == [[], [], []]
    page.locator(".pane").first.locator("path.point").last.hover(force=True)
    page.locator("tr.marked").first.wait_for()
    rings = page.evaluate(RINGS)
    (marked,) = set(page.locator("tr.marked").evaluate_all("rows => rows.map(row => row.dataset.network)"))
    rows = [row for row in rows_of(front_of(finished_run)) if row["id"] == marked]
    planes = [("latency_ms", "error"), ("energy_mj", "error"), ("energy_mj", "latency_ms")]
    for ring, (x, y) in zip(rings, planes, strict=True):
        expected = sorted([row[x], row[y] * (100 if y == "error" else 1)] for row in rows)
        np.testing.assert_allclose(sorted(ring), expected)
    assert page.locator(".hoverlayer").first.text_content()

    limits = Limits(max_latency_ms=0.7)
    page.get_by_label("Latency (ms), at most", exact=True).fill("0.7")
    best = best_within(front, limits)
    assert best is not None
    page.locator(".choices li", has_text=f"most accurate within the limits: {best.id} in").wait_for()
    assert page.locator("path.point.beyond").count() > 0
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download CSV").click()
    saved.value.save_as(tmp_path / "front.csv")
    with (tmp_path / "front.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == page.locator("tbody tr").count() > 0
    assert all(float(line["latency_ms"]) <= 0.7 and line["energy_source"] == "modelled" for line in lines)
    assert {line["latency_source"] for line in lines} <= {"measured", "modelled"}
    assert {line["weights"] for line in lines} == {"inherited"}

    # With the keyboard alone; where nothing fits, the nearest is told with what it exceeds.
    slider = page.get_by_label("Latency (ms), at most, as a slider")
    slider.focus()
    slider.press("Home")
    page.get_by_label("Error (%), at most", exact=True).fill("1")
    page.locator(".choices .problem", has_text=f"No point of {len(front)} is within the limits; the nearest").wait_for()
    page.locator(".choices .problem", has_text="where 1.0 % is allowed").wait_for()
    page.get_by_label("Threads").select_option("2")
    two = [point for point in front if point.configuration is not None and point.configuration.threads == 2]
    page.locator(".choices .problem", has_text=f"No point of {len(two)} is within").wait_for()
    page.locator(".choices a").first.press("Enter")
    page.wait_for_url("**/runs/finished/-/network/*")
    window.assert_quiet()


def test_dominated_points_are_dots_that_limits_make_faint_and_that_tell_what_they_are(
    opened: Opened, finished_run: RunFolder
) -> None:
    window = opened(viewport={"width": 1400, "height": 1000})
    page = shown(window, finished_run.path.name)
    dominated = [row for row in rows_of(front_of(finished_run)) if not row["front"] and row["kind"] == "inherited"]
    (_, faint, _), (top, clear, at) = (page.evaluate(DOTS, kind) for kind in (".beyond", ":not(.beyond)"))
    assert (faint, clear) == (0, len(dominated))
    # The worst is far from the front.
    page.mouse.move(*at)
    page.locator(f"tr.marked[data-network='{dominated[top]['id']}']").first.wait_for()
    page.get_by_label("Latency (ms), at most", exact=True).fill("0.7")
    beyond = sum(row["latency_ms"] > 0.7 for row in dominated)
    assert 0 < beyond < len(dominated)
    assert [page.evaluate(DOTS, kind)[1] for kind in (".beyond", ":not(.beyond)")] == [beyond, len(dominated) - beyond]
    page.get_by_label("dominated networks").uncheck()
    page.locator(".dots").first.wait_for(state="detached")
    window.assert_quiet()


def test_nothing_is_called_measured_where_nothing_was(opened: Opened, unmeasured_run: RunFolder) -> None:
    window = opened()
    page = shown(window, unmeasured_run.path.name)
    assert "modelled" in page.locator("body").inner_text()
    assert "measured" not in page.content()
    window.assert_quiet()


@pytest.fixture
def growing(finished_run: RunFolder, runs_folder: Path) -> RunFolder:
    """A run of which half of the trials are known yet."""
    folder = RunFolder(runs_folder / "growing")
    shutil.copytree(finished_run.path, folder.path)
    with closing(sqlite3.connect(folder.store)) as store, store:
        store.execute("DELETE FROM evaluations WHERE trial_id >= 4")
        store.execute("DELETE FROM trials WHERE id >= 4")
        store.execute("DELETE FROM measurements WHERE architecture_id NOT IN (SELECT architecture_id FROM evaluations)")
    return folder


def test_points_appear_while_limits_zoom_and_camera_stay(
    opened: Opened, growing: RunFolder, finished_run: RunFolder
) -> None:
    window = opened(viewport={"width": 1400, "height": 1400})
    page = shown(window, "growing")
    before = page.locator("tbody tr").count()
    page.get_by_label("Energy (mJ), at most", exact=True).fill("1000")
    box = page.locator(".pane .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 80, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 140, steps=4)
    page.mouse.up()
    zoomed = page.evaluate(RANGE)
    assert page.evaluate("document.querySelector('.pane').given.xaxis.range") != zoomed
    points, camera = page.evaluate(CAMERA)[1], turned(page)
    shutil.copyfile(finished_run.store, growing.store)
    page.locator("tbody tr").nth(before).wait_for()
    # The page's own polling is refused by its policy, as it evaluates text.
    later = "new Promise((done) => setTimeout(done, 50))"
    page.evaluate(f"async (points) => {{ while (({CAMERA})()[1] <= points) await {later}; }}", points)
    np.testing.assert_allclose(page.evaluate(CAMERA)[0], camera, atol=1e-6)
    assert page.get_by_label("Energy (mJ), at most", exact=True).input_value() == "1000"
    assert page.evaluate(RANGE) == zoomed
    window.assert_quiet()


def test_a_downloaded_csv_does_nothing_in_a_spreadsheet_whatever_names_hold(
    browser: Browser, finished_run: RunFolder, tmp_path: Path
) -> None:
    found = front_of(finished_run) | {"stamp": None}
    names = ["=cmd|' /C calc'!A0", '@SUM(1)"; x', "+1\r\n=2,3", "-1", "\tx", 'a "b"\nc']
    texts = [found["columns"].index(name) for name in ("id", "configuration", "weights", "latency_source")]
    found["rows"] = found["rows"][: len(names)]
    for row, name in zip(found["rows"], names, strict=True):
        for place in texts:
            row[place] = name
    for kind in found["kinds"]:
        kind["choices"] = {"///": [["most accurate", 0]]}
    (tmp_path / "named.html").write_bytes(explore_html(found | {"run": '=1+1\n"../../x'}))
    page = browser.new_page()
    page.goto((tmp_path / "named.html").as_uri())
    drawn(page)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Download CSV").click()
    assert saved.value.suggested_filename == "_1_1_.._.._x.csv"
    saved.value.save_as(tmp_path / "front.csv")
    page.close()
    with (tmp_path / "front.csv").open(newline="", encoding="utf-8") as file:
        head, *lines = csv.reader(file)
    assert head == [name for name in found["columns"] if name not in ("cells", "about")]
    assert {len(line) for line in lines} == {len(head)}
    for place in (head.index(name) for name in ("id", "configuration", "weights", "latency_source")):
        assert [line[place] for line in lines] == [f"'{name}" if name[0] in "=@+-\t" else name for name in names]


@pytest.fixture
def trained_run(finished_run: RunFolder, runs_folder: Path, trained_of: TrainedOf) -> RunFolder:
    """A run whose front was trained, with a baseline that was measured."""
    folder = RunFolder(runs_folder / "with_baseline")
    shutil.copytree(finished_run.path, folder.path)
    with closing(open_store(folder.store)) as store:
        for number, name in enumerate(sorted({point.id for point in read_front(folder.path)})):
            store.set_trained(trained_of(name, error=0.3 + 0.01 * number))
        measured = MeasuringBoard().measure(b"x" * 20_000)
        store.set_trained(trained_of("resnet8", error=0.25, baseline=True, measurement=measured))
    return folder


def test_trained_networks_are_shown_first_with_baselines_beside_them(opened: Opened, trained_run: RunFolder) -> None:
    window = opened()
    page = shown(window, trained_run.path.name)
    kinds, baselines = page.get_by_label("Choose among"), page.get_by_label("baselines, beside trained networks")
    assert kinds.locator("option").all_inner_texts() == ["inherited weights", "trained networks"]
    assert kinds.input_value() == "trained"
    baseline = page.locator("tbody tr", has_text="resnet8")
    assert "25.0 %" in baseline.inner_text()
    assert "1.50 ms (measured)" in baseline.inner_text()
    assert "(modelled)" in baseline.inner_text()
    assert baseline.locator("a").count() == 0
    assert "selection, trained" in page.locator("tbody").inner_text()
    assert "inherited" not in page.locator("tbody").inner_text()
    assert "★ baseline (1)" in page.locator(".keys").first.inner_text()
    baselines.uncheck()
    baseline.wait_for(state="detached")
    assert "baseline (" not in page.locator(".keys").first.inner_text()
    baselines.check()
    baseline.wait_for()
    kinds.select_option("inherited")
    baseline.wait_for(state="detached")
    assert "selection, trained" not in page.locator("tbody").inner_text()
    window.assert_quiet()


def test_without_webgl_the_planes_work_and_the_space_says_why(opened: Opened, finished_run: RunFolder) -> None:
    window = opened(viewport={"width": 320, "height": 700}, color_scheme="dark")
    window.page.add_init_script(NO_WEBGL)
    page = shown(window, "finished")
    page.get_by_text("3-D needs WebGL").wait_for()
    assert page.locator(".pane:has(path.point)").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    window.assert_quiet()


def test_a_single_file_shows_the_same_and_names_stay_text(
    browser: Browser, finished_run: RunFolder, tmp_path: Path
) -> None:
    told = json.dumps(front_of(finished_run) | {"stamp": None})
    found = json.loads(told)
    page, complaints, asked = browser.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(finished_run.explore.as_uri())
    drawn(page)
    assert page.locator("tbody tr").count() == len(found["rows"])
    assert [url for url in asked if not url.startswith("data:")] == [finished_run.explore.as_uri()]

    for row in found["rows"]:
        row[found["columns"].index("id")] += HOSTILE
        row[found["columns"].index("configuration")] += f"</script>{HOSTILE}"
        for name in ("cells", "about"):
            row[found["columns"].index(name)] = json.loads(
                json.dumps(row[found["columns"].index(name)]).replace("ort", HOSTILE)
            )
    found |= {"run": HOSTILE, "note": f"<!--<script>{HOSTILE}", "error": HOSTILE, "guess": HOSTILE}
    found["kinds"][0] |= {"latency_ms": HOSTILE, "energy_mj": HOSTILE, "title": HOSTILE}
    (tmp_path / "hostile.html").write_bytes(explore_html(found))
    page.goto((tmp_path / "hostile.html").as_uri())
    drawn(page)
    page.locator(".pane path.point").last.hover(force=True)
    page.locator(".pane .hoverlayer", has_text=HOSTILE).first.wait_for()
    assert page.title() == f"Front · {HOSTILE}"
    assert HOSTILE in page.locator("tbody").inner_text()
    assert page.locator("img").count() == 0
    assert page.evaluate("window.caught") is None
    fields = page.evaluate(FIELDS, ["=1", "+a", "@b", "-c", "d,e"])
    assert fields == ["'=1", "'+a", "'@b", "'-c", '"d,e"']
    assert not complaints
    page.close()
