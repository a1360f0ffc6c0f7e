from __future__ import annotations

from pathlib import Path

from moo.page.settings import PageSettings
from tests.moo.page.conftest import Opened, serving


def test_a_page_without_runs_says_how_to_begin(opened: Opened, tmp_path: Path) -> None:
    with serving(PageSettings(runs=tmp_path)) as served:
        window = opened(served)
        page = window.go("/")
        page.get_by_role("link", name="Start one").wait_for()
        assert served.settings.token not in page.url
        window.assert_quiet()
