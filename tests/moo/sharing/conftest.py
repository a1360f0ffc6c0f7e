"""A run whose folder is full of what must not go out, and a hub."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import huggingface_hub.constants
import pytest

from devices.configuration import BASE, RuntimeConfiguration
from devices.measurement import Board, Measurement
from devices.models import Model
from devices.replay import ReplayDevice
from evaluation.splits import Splits
from moo.execution.backend import InProcessBackend
from moo.search.loop import run_search
from moo.sharing.finished import FinishedFront, read_finished
from tests.moo.conftest import TABLE, prepared_in
from tests.moo.sharing.fake_hub import TOKEN, FakeHub, serving_hub

ADDRESS = "ssh://anna@lab-pi.example.org:2222"
IMAGES = "/home/anna/private/photos of Bob"
PRIVATE = ("anna", "lab-pi", "2222", "private", "Bob", "search.sqlite", "hf_t", "events", "ttyUSB0")
"""What no file or name that is published may have."""


class BoardOfAnna(ReplayDevice):
    """Says that it measured, on a board that is reached by SSH."""

    def describe(self) -> Board:
        return replace(super().describe(), name=ADDRESS, model="Raspberry Pi 4 Model B Rev 1.4")

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        return replace(super().measure(model, configuration), latency_source="measured")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, splits: Splits) -> FinishedFront:
    """A real search that has ended, with names, files and links that are nobody's business. Read only."""
    path = tmp_path_factory.mktemp("home-of-anna") / "run"
    preparation = prepared_in(
        path,
        splits,
        TABLE,
        device=BoardOfAnna(lambda model: 0.5 + len(model) / 20_000, cores=4),
        dataset=IMAGES,
        meter="um25c:/dev/ttyUSB0",
        threads=(1, 2),
        pretrain_epochs=1,
        theta_steps=1,
        generations=1,
        samples=1,
    )
    preparation = replace(preparation, config=replace(preparation.config, device=(ADDRESS,)))
    run_search(preparation, InProcessBackend(preparation.setup), lambda event: None)
    first = next((path / "front").iterdir())
    (first / ".env").write_text(f"HF_TOKEN={TOKEN}")
    (first / "curves.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (first / "notes of anna.md").write_text(IMAGES)
    secret = path.parent / "id_rsa"
    secret.write_text("-----BEGIN OPENSSH PRIVATE KEY-----")
    os.symlink(secret, first / "model.tflite")
    os.symlink(path.parent, first / "adaptive")
    return read_finished(path)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture, as drawing takes most of the time."""
    monkeypatch.setattr("moo.sharing.folder.latency_error_figure", lambda networks, space: None)
    monkeypatch.setattr("moo.sharing.folder.png_of", lambda figure: b"\x89PNG\r\n\x1a\n")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub that takes what is uploaded with the token of this user."""
    with serving_hub() as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub
