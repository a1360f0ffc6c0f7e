from __future__ import annotations

from tests.moo.page.conftest import Opened, Served


def test_a_page_without_runs_says_how_to_begin(opened: Opened, served: Served) -> None:
    window = opened()
    page = window.go("/")
    page.get_by_role("link", name="Start one").wait_for()
    assert served.settings.token not in page.url
    window.assert_quiet()
