"""The folder that is published: what belongs, and nothing of the user's machine."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from moo.sharing.discretion import discretion_of, public_board
from moo.sharing.finished import FinishedFront
from moo.sharing.folder import write_folder
from moo.sharing.front_card import front_markdown
from moo.sharing.metadata import front_metadata
from moo.storage.run_folder import RunFolder
from tests.moo.sharing.conftest import ADDRESS, IMAGES, PRIVATE
from tests.moo.sharing.fake_hub import TOKEN

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


def test_the_picture_and_links_of_the_card_are_there(published: Path) -> None:
    text = (published / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert "pictures/front.png" in links
    assert all((published / link).exists() for link in links if "://" not in link)
    assert f'hf_hub_download("{REPO}", "front/' in text
    assert "--dataset IMAGES" in text
    assert "--device BOARD" in text


def test_a_data_set_of_the_hub_is_named_with_its_page(finished: FinishedFront) -> None:
    named = replace(finished, config=replace(finished.config, dataset="uoft-cs/cifar10"))
    discretion = discretion_of(named)
    data = yaml.safe_load(front_metadata(named, REPO, discretion, licence=None))
    assert data["datasets"] == ["uoft-cs/cifar10"]
    assert {result["dataset"]["type"] for result in data["model-index"][0]["results"]} == {"uoft-cs/cifar10"}
    link = "[`uoft-cs/cifar10`](https://huggingface.co/datasets/uoft-cs/cifar10)"
    assert link in front_markdown(named, {}, REPO, discretion)


def test_a_folder_is_brought_up_to_date_and_one_of_others_refused(
    finished: FinishedFront, published: Path, undrawn: None, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(published, folder)
    (folder / "front" / "999").mkdir()
    (folder / "front" / "999" / "model.onnx").touch()
    (folder / "README.md.part").touch()
    write_folder(finished, folder, REPO)
    assert names_in(folder) == names_in(published)
    assert not (folder / "front" / "999").exists()
    (folder / "front" / "thesis.tex").touch()
    with pytest.raises(ValueError, match=r"^`--folder` must be new, empty, or one that .* holds 'front/thesis.tex'"):
        write_folder(finished, folder, REPO)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.onnx", b"no network", "must be of the kind that its name says"),
        (
            "model_int8.tflite",
            b"\0\0\0\0TFL3" + TOKEN.encode(),
            "tokens of yours, but .*tflite has",
        ),
        ("model_int8.tflite", b"\0\0\0\0TFL3 /home/anna/x", "tokens of yours, but .*tflite has"),
    ],
)
def test_a_file_with_what_is_private_is_refused(
    finished: FinishedFront, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    shutil.copytree(finished.folder.path, tmp_path / "run", symlinks=True)
    run = replace(finished, folder=replace(finished.folder, path=tmp_path / "run"))
    (run.folder.networks / run.networks[0].architecture.id / name).write_bytes(content)
    with pytest.raises(ValueError, match=said):
        write_folder(run, tmp_path / "out", REPO)


@pytest.mark.parametrize(
    "private",
    ["/home/anna/a b", "/mnt/data/x.txt", "~/photos/a", "C:\\Users\\anna\\x", "\\\\server\\share\\x", "ssh://pi@host",
     "pi@pi.local", "bob@10.0.0.7", "192.168.1.20", "nas.lan", TOKEN, ADDRESS, IMAGES],
)  # fmt: skip
def test_texts_lose_what_is_private_wherever_it_stands(finished: FinishedFront, private: str) -> None:
    text = discretion_of(finished).text(f"Read `{private}`, then ({private}).")
    words = re.findall(r"\w+", private.replace("ssh://", ""))
    assert not [word for word in words if len(word) > 3 and word in text]


@pytest.mark.parametrize(
    "public",
    ["fbnet-micro@32 with `ort 1t fp32`", "a/b/c and/or 3/4", "[x](front/012/model.onnx)",
     "https://huggingface.co/datasets/a/b",
     "onnxruntime 1.32.0, torch 2.13.0+cpu", "(1, 3, 32, 32), pixels / 255", "2026-12-02T04:31:59+00:00"],
)  # fmt: skip
def test_texts_keep_what_is_not(finished: FinishedFront, public: str) -> None:
    in_a_word = replace(finished, folder=RunFolder(Path("front")))
    assert discretion_of(in_a_word).text(public) == public


def test_a_board_is_its_model() -> None:
    assert public_board(f"{ADDRESS} (Raspberry Pi 5 Model B Rev 1.0)") == "Raspberry Pi 5 Model B Rev 1.0"
    assert public_board("host (AMD EPYC)") == "AMD EPYC"
    assert public_board("Raspberry Pi 4 Model B (8 GB)") == "Raspberry Pi 4 Model B (8 GB)"
