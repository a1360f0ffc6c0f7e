"""How soon the Front page shows a large run, and how soon it follows a slider, as seen in Chromium.

    python benchmarks/page/front.py [--networks 2000]

The run is made up, the server the real one, in this process. *first paint*: from opening the address until the three
planes have all points; *slider*: from moving it until the browser has painted. CPU is that of the page's main thread,
which shared machines lengthen less than time. Playwright and Chromium must be there: `apt-get install chromium`.

Goal: first paint within 2 s, the slider within 0.1 s.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.options import BenchmarkConfig, check_at_least, read_config
from benchmarks.outer_loop.synthetic_runs import write_run
from benchmarks.results import Column, TextTable, print_results
from moo.page.server import address_of, listening, page_server
from moo.page.settings import PageSettings
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NAME = "large"
WHEN_DRAWN = """new MutationObserver(() => {
  if (!window.drawn && document.querySelector(".panes:not([aria-busy])")) {
    requestAnimationFrame(() => setTimeout(() => { window.drawn ??= performance.now(); }));
  }
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["aria-busy"] });"""
MOVED = """async (position) => {
  const slider = document.querySelector("input[type=range]");
  const begin = performance.now();
  slider.value = position;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)));
  return performance.now() - begin;
}"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontConfig(BenchmarkConfig):
    """Measure how soon the Front page shows a run, and follows a slider."""

    networks: int = 2000
    """Evaluated networks of the run."""
    repetitions: int = 5
    """Times that the page is opened, and its slider moved ten times as often."""
    quick: bool = False
    """200 networks, once."""

    def __post_init__(self) -> None:
        check_at_least(self, networks=100, repetitions=1)

    def quickened(self) -> Self:
        """A check that it works."""
        return replace(self, networks=200, repetitions=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontRow:
    """One of the two, over all repetitions."""

    what: str
    median_ms: float
    worst_ms: float
    cpu_ms: float
    """Of the page's main thread, the mean."""


TABLE = TextTable(
    Column(title="", width=11, left=True),
    Column(title="median", width=9, form=".0f", unit=" ms"),
    Column(title="worst", width=9, form=".0f", unit=" ms"),
    Column(title="CPU", width=9, form=".0f", unit=" ms"),
)


def main() -> None:
    """Make the run, open its page, print two rows."""
    config = read_config(FrontConfig)
    with tempfile.TemporaryDirectory() as name:
        write_run(Path(name) / NAME, config.networks, space="fbnet-cifar", configurations="base", seed=0)
        with _served(Path(name)) as address:
            rows = measured(address, config.repetitions)
    lines = [TABLE.head, *(TABLE.row(row.what, row.median_ms, row.worst_ms, row.cpu_ms) for row in rows)]
    print_results({"rows": [asdict(row) for row in rows]}, lines, as_json=config.json)


def measured(address: str, repetitions: int) -> list[FrontRow]:
    """First paint and slider.

    Args:
        address: of the run's page, with the token.
        repetitions: times that it is opened.

    Raises:
        ValueError: if there is no Chromium.
    """
    from playwright.sync_api import sync_playwright

    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        raise ValueError("a Chromium must be there, but none was found: install it by `apt-get install chromium`.")
    paints, paint_cpu, moves, move_cpu = [], [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(repetitions):
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.add_init_script(WHEN_DRAWN)
            page.goto(address)
            page.wait_for_selector(".panes:not([aria-busy])", timeout=120_000)
            paints.append(float(page.evaluate("new Promise((done) => setTimeout(() => done(window.drawn), 100))")))
            paint_cpu.append(_cpu_ms(session))
            # Until 3-D is drawn, where it can be.
            page.wait_for_timeout(2000)
            before = _cpu_ms(session)
            moves += [float(page.evaluate(MOVED, 40 + 35 * number)) for number in range(10)]
            move_cpu.append((_cpu_ms(session) - before) / 10)
            page.context.close()
        browser.close()
    return [
        FrontRow(what=what, median_ms=statistics.median(times), worst_ms=max(times), cpu_ms=statistics.mean(cpu_times))
        for what, times, cpu_times in (("first paint", paints, paint_cpu), ("slider", moves, move_cpu))
    ]


def _cpu_ms(session: Any) -> float:
    """CPU time of the page's main thread so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1e3 * next(float(one["value"]) for one in metrics if one["name"] == "TaskDuration")


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Serve runs from a thread; gives the address of the run's page."""
    settings, found = PageSettings(runs=folder), listening(0)
    server = page_server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [found]}, daemon=True)
    thread.start()
    try:
        yield address_of(found, settings).replace("/?", f"/runs/{NAME}/-/front?")
    finally:
        server.should_exit = True
        thread.join(10)


if __name__ == "__main__":
    run(main)
