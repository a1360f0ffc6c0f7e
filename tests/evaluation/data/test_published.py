from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.data.published import hub_notice


@pytest.mark.parametrize("name", ["cifar10", "somebody/photos"])
def test_a_question_to_the_hub_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notice = hub_notice(name)
    assert notice is not None
    assert f"'{name}'" in notice
    assert "Hugging Face hub" in notice


@pytest.mark.parametrize(
    "name", ["digits", "", "./photos", "my photos", "é", "x" * 300, "/nowhere/photos", "somebody/photos"]
)
def test_nothing_is_told_of_what_the_hub_is_not_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "somebody" / "photos").mkdir(parents=True)
    assert hub_notice(name) is None
