"""A real server on a free port, and a real browser that finds it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, expect, sync_playwright
from starlette.testclient import TestClient

from benchmarks.outer_loop.synthetic_runs import write_run
from devices.configuration import BASE, RuntimeConfiguration
from devices.measurement import Measurement
from devices.models import Model
from devices.replay import ReplayDevice
from evaluation.splits import Splits
from moo.execution.backend import InProcessBackend
from moo.page.app import page_app
from moo.page.opened import OpenedRun
from moo.page.opened import opened as opened_run
from moo.page.server import address_of, listening, page_server
from moo.page.settings import PageSettings
from moo.search.loop import run_search
from moo.search.outputs import write_report
from moo.storage.run_folder import RunFolder
from moo.storage.store import read_store
from tests.moo.conftest import TABLE, prepared_in

CHROMIUM = next(
    (program for name in ("chromium", "chromium-browser", "google-chrome") if (program := shutil.which(name))), None
)
GRAPHICS_HINTS = ("Canvas2D: Multiple readback", "[.WebGL")
"""How warnings begin that tell of the speed of graphics, which plotly's 3-D makes where there is no graphics card."""
WAIT_MS = 20_000
"""For what a busy machine takes long for."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window; closed after each module, as playwright holds this thread's event loop."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        # Without a sandbox, as it is not to be had in containers for root; with WebGL in software.
        options = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@dataclass
class Served:
    """A server that runs, and its settings."""

    settings: PageSettings
    address: str
    """With the token."""

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self.address.partition("/?")[0]


@contextmanager
def serving(settings: PageSettings, *, port: int = 0) -> Iterator[Served]:
    """Serve in a thread of this process."""
    found = listening(port)
    server = page_server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [found]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Served(settings, address_of(found, settings))
    finally:
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the runs of these tests lie."""
    return tmp_path_factory.mktemp("runs")


class MeasuringBoard(ReplayDevice):
    """Says that it measured what follows from the size of a file and the number of threads."""

    def __init__(self) -> None:
        def latency_ms(model: bytes, configuration: RuntimeConfiguration) -> float:
            return float((0.5 + len(model) / 20_000) * configuration.threads**-0.5)

        super().__init__(latency_ms, cores=4)

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        return replace(super().measure(model, configuration), latency_source="measured")


def searched(path: Path, splits: Splits, *, device: ReplayDevice | None) -> RunFolder:
    """A folder of a real search that has ended, with report but without pictures.

    Args:
        path: to make.
        splits: images.
        device: what measures; None for a run with `--no-measure`.
    """
    preparation = prepared_in(path, splits, TABLE, device=device, threads=(1, 2), pretrain_epochs=1, theta_steps=3)
    archive = run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)
    with closing(read_store(preparation.folder.store)) as store:
        write_report(preparation, archive, store, draw=False)
    return preparation.folder


@pytest.fixture(scope="session")
def finished_run(runs_folder: Path, splits: Splits) -> RunFolder:
    """The run `finished`: a real search that has ended, on a tiny space of three layers and 27 architectures.

    It has 8 trials of coefficients in 2 generations, each with the course of its theta; about 16 networks; some 10
    operating points on the front, in two configurations (1 and 2 threads, fp32); front.json; front/ID/ with
    architecture.json, weights.safetensors, model.onnx and card.md; latencies `measured` by a board called `replay`,
    energies `modelled`; cost_table.json, checkpoints, search.sqlite, report.md and report.html; no pictures, nothing
    trained. Read only.
    """
    return searched(runs_folder / "finished", splits, device=MeasuringBoard())


@pytest.fixture(scope="session")
def unmeasured_run(runs_folder: Path, splits: Splits) -> RunFolder:
    """The run `by_table`: the same with `--no-measure`; all latencies and energies are `modelled`. Read only."""
    return searched(runs_folder / "by_table", splits, device=None)


@pytest.fixture(scope="session")
def large_run(runs_folder: Path) -> RunFolder:
    """The run `large`: a made-up search of 2,000 networks that has not ended, in one configuration. Read only."""
    write_run(runs_folder / "large", 2000, space="fbnet-cifar", configurations="base", seed=0)
    return RunFolder(runs_folder / "large")


@pytest.fixture(scope="session")
def served(runs_folder: Path) -> Iterator[Served]:
    """The page of these tests' runs."""
    with serving(PageSettings(runs=runs_folder)) as served:
        yield served


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """Asks the application of an empty folder of runs without a browser, with the cookie."""
    return client_of(PageSettings(runs=tmp_path))


def client_of(settings: PageSettings, *, let_in: bool = True) -> TestClient:
    """Asks an application without a browser.

    Args:
        settings: of the page.
        let_in: whether it has been let in by the token.
    """
    client = TestClient(page_app(settings), base_url="http://127.0.0.1:8500")
    if let_in:
        client.get("/", params={"token": settings.token})
    return client


@pytest.fixture(scope="session")
def found(finished_run: RunFolder) -> OpenedRun:
    """The shared run, as the page opens it."""
    return opened_run(finished_run)


@pytest.fixture
def asking(finished_run: RunFolder) -> TestClient:
    """Asks the application of the shared run."""
    return client_of(PageSettings(runs=finished_run.path.parent))


@dataclass
class Watched:
    """A page in a browser, with all that it complained of and asked for elsewhere."""

    page: Page
    origin: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def go(self, place: str) -> Page:
        """Open an address of the server, and wait until its page has shown something."""
        self.page.goto(self.origin + place)
        self.page.locator("main h1, main .problem").first.wait_for(timeout=WAIT_MS)
        return self.page

    def assert_quiet(self) -> None:
        """Nothing was complained of, and nothing was asked for elsewhere."""
        assert not self.complaints
        assert not self.foreign


def _complains(told: ConsoleMessage) -> bool:
    return told.type in ("error", "warning") and not told.text.startswith(GRAPHICS_HINTS)


Opened = Callable[..., Watched]


@pytest.fixture
def opened(browser: Browser, served: Served) -> Iterator[Opened]:
    """Opens a window that was let in; options are those of a browser's context (`viewport`, `color_scheme`)."""
    contexts: list[BrowserContext] = []

    def open_window(of: Served = served, **options: object) -> Watched:
        context = browser.new_context(**options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        window = Watched(page, of.origin)

        def asked(request: Request) -> None:
            if not request.url.startswith((of.origin + "/", "data:", "blob:")):
                window.foreign.append(request.url)

        page.on("request", asked)
        page.on("console", lambda told: window.complaints.append(told.text) if _complains(told) else None)
        page.on("pageerror", lambda error: window.complaints.append(str(error)))
        page.goto(of.address)
        return window

    yield open_window
    for context in contexts:
        context.close()
