"""The folder that is published: what belongs, and nothing of the user's machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from moo.sharing.finished import FinishedFront
from moo.sharing.folder import write_folder
from tests.moo.sharing.conftest import PRIVATE

REPO = "u/front-of-stripes"


@pytest.fixture(scope="module")
def published(finished: FinishedFront, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "out"
    write_folder(finished, folder, REPO, licence="apache-2.0")
    return folder


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_belongs_is_there_and_nothing_else(finished: FinishedFront, published: Path) -> None:
    own = ("architecture.json", "weights.safetensors", "model.onnx", "card.md")
    ids = [entry.architecture.id for entry in finished.networks]
    of_networks = {f"front/{identifier}/{name}" for identifier in ids for name in own}
    assert names_in(published) == {"README.md", "pictures/front.png"} | of_networks


def test_nothing_private_is_in_names_and_files(published: Path) -> None:
    for name in names_in(published):
        content = (published / name).read_bytes()
        assert [word for word in PRIVATE if word in name or word.encode() in content] == [], name
        assert not re.search(rb"/home/|/tmp/|ssh://|@lab", content), name


def test_the_card_is_the_hubs(finished: FinishedFront, published: Path) -> None:
    card = ModelCard.load(published / "README.md")
    assert card.data.pipeline_tag == "image-classification"
    assert (card.data.license, card.data.datasets) == ("apache-2.0", None)
    for result in card.data.eval_results:
        name = result.metric_name
        if result.metric_type == "accuracy":
            assert "weights inherited from the supernet" in name
            assert f"of {finished.data.images.test} images" in name
        else:
            assert result.metric_type.startswith(result.metric_args["source"])
            assert result.metric_args["source"] in name
            assert "Raspberry Pi 4 Model B" in name
    sources = {result.metric_type for result in card.data.eval_results}
    assert sources == {"accuracy", "measured_latency_ms", "modelled_energy_mj"}
