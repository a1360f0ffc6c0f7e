"""The upload, to a hub in this process."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from moo.sharing.hub import MESSAGE, OLD_FILES, check_repo, upload
from moo.storage.network_files import FILES
from tests.moo.sharing.fake_hub import FakeHub

REPO = "anna/front"


def test_whatever_a_network_may_have_is_removed_with_it() -> None:
    segments = ("adaptive/segment_1.onnx", "adaptive/segment_2_int8.onnx", "adaptive/segment_1.tflite")
    for name in (*FILES, *segments):
        assert any(fnmatchcase(f"front/012/{name}", pattern) for pattern in OLD_FILES), name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As little as a card and a network."""
    (tmp_path / "front" / "012").mkdir(parents=True)
    (tmp_path / "README.md").write_text("---\npipeline_tag: image-classification\n---\n\n# A front\n")
    (tmp_path / "front" / "012" / "model.onnx").write_bytes(b"onnx")
    return tmp_path


def test_uploading_again_updates_and_removes_what_left_the_front_and_nothing_else(folder: Path, hub: FakeHub) -> None:
    assert upload(REPO, folder, private=True) == f"{hub.address}/{REPO}"
    one = hub.repositories[REPO]
    assert one.private
    assert one.commits == [MESSAGE]
    assert {*one.files} == {"README.md", "front/012/model.onnx"}
    of_others = {"front/012/notes.md": b"mine", "front/777/card.txt": b"mine", "model.onnx": b"mine"}
    one.files |= {"front/999/model.onnx": b"old", "front/999/adaptive/segment_2_int8.onnx": b"old"} | of_others
    (folder / "front" / "012" / "model.onnx").write_bytes(b"better")
    upload(REPO, folder, private=True)
    assert one.files == of_others | {
        "README.md": (folder / "README.md").read_bytes(),
        "front/012/model.onnx": b"better",
    }
    assert one.commits == [MESSAGE] * 2


def test_a_public_repository_is_not_taken_for_a_private_one(folder: Path, hub: FakeHub) -> None:
    upload(REPO, folder, private=False)
    with pytest.raises(ValueError, match=r"^with `--private` a repository must be private, but anna/front is there"):
        upload(REPO, folder, private=True)
    assert len(hub.repositories[REPO].commits) == 1


def test_what_the_hub_refuses_is_told(folder: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.refuses = (403, "You don't have the rights to create a model under the namespace anna")
    with pytest.raises(ValueError, match=r"must take the upload to anna/front, but .*rights.*hf auth whoami") as error:
        upload(REPO, folder, private=False)
    assert "\n" not in str(error.value)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"^the hub must be reached to upload to anna/front, but it was not"):
        upload(REPO, folder, private=False)


@pytest.mark.parametrize(
    "repo", ["front", "a/b/c", "/a", "a/", "../a", "a/b c", "a/..", "-a/b", "a--b/c", "https://x/y", ""]
)
def test_a_repository_has_a_user_and_a_name(repo: str) -> None:
    with pytest.raises(ValueError, match=r"^`--repo` must be user/name of letters, .*, but got .*: anna/photos-front"):
        check_repo(repo)
    assert check_repo("anna/photos-front_2.1") == "anna/photos-front_2.1"
