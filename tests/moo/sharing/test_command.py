"""`push_front.py` on a run and a hub, from the words of the command to its exit code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from moo.sharing.finished import FinishedFront
from scripts.push_front import main
from tests.moo.sharing.fake_hub import FakeHub
from tests.scripts.conftest import in_process

REPO = ("--repo", "anna/front")


def test_it_uploads_and_where_it_may_not_keeps_the_folder(
    finished: FinishedFront, hub: FakeHub, undrawn: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(finished.folder.path, tmp_path / "run", symlinks=True)
    done = in_process(tmp_path, "scripts/push_front.py", main, "run", *REPO)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Published: {hub.address}/anna/front" in done.stdout
    files = {path.relative_to(tmp_path / "run/hub").as_posix() for path in (tmp_path / "run/hub").rglob("*.*")}
    assert hub.repositories["anna/front"].files.keys() == files
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "none"))
    refused = in_process(tmp_path, "scripts/push_front.py", main, "run", *REPO)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: there must be a token of the Hugging Face hub that may write")
    assert "What was to be uploaded is in run/hub; by hand: hf upload anna/front run/hub ." in refused.stderr
    assert refused.stderr.count("\n") == 1
    alone = in_process(tmp_path, "scripts/push_front.py", main, "run", *REPO, "--folder", "out", "--private")
    assert alone.returncode == 0
    assert "Upload it: hf upload anna/front out . " in alone.stdout
    assert "--private" in alone.stdout
    assert len(hub.repositories["anna/front"].commits) == 1
