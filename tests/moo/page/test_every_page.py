"""What holds for every page, wide and narrow, in the light and in the dark: nothing foreign, nothing out of reach."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from moo.analysis.selection import read_front
from moo.storage.run_folder import RunFolder
from tests.moo.page.conftest import Opened, Served

WINDOWS: dict[str, dict[str, Any]] = {
    "wide and light": {"viewport": {"width": 1400, "height": 900}, "color_scheme": "light"},
    "narrow and dark": {"viewport": {"width": 320, "height": 700}, "color_scheme": "dark"},
}
RUN_PAGES = ("live", "front", "coefficients", "board", "network")


def places_of(run: RunFolder) -> list[str]:
    """Addresses of all pages, those of a run included."""
    ids = [point.id for point in read_front(run.path)]
    below = f"/runs/{run.path.name}/-"
    pages = [f"{below}/{page}" for page in RUN_PAGES if page != "network"]
    return ["/", "/new", *pages, f"{below}/network/{ids[0]}", f"{below}/network/{ids[0]}/{ids[-1]}"]


def serious(page: Page) -> list[str]:
    """What axe finds of serious or critical impact, with where."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['html'][:150]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def settled(page: Page) -> None:
    """Wait until a page has drawn what it draws after its heading."""
    expect(page.locator("main")).not_to_contain_text("Loading …")
    page.wait_for_timeout(300)


@pytest.mark.parametrize("window", WINDOWS)
def test_nothing_foreign_nothing_complained_of_nothing_out_of_reach(
    window: str, opened: Opened, served: Served, finished_run: RunFolder
) -> None:
    watched = opened(**WINDOWS[window])
    found: dict[str, list[str]] = {}
    for place in places_of(finished_run):
        page = watched.go(place)
        settled(page)
        assert served.settings.token not in page.url
        assert page.title(), place
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        found[place] = serious(page) + [f"{overflow} pixels to the right"] * (overflow > 0)
    assert {place: wrong for place, wrong in found.items() if wrong} == {}
    watched.assert_quiet()
