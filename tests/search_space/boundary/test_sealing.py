"""Whatever byte of a sealed file is damaged, it is named, or what is read is what was written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from search_space.boundary.sealing import (
    read_sealed_json,
    read_sealed_state,
    read_tensors,
    sealed,
    sealed_state,
    sealed_tensors,
    unsealed,
    write_sealed_json,
)
from search_space.boundary.writing import write_atomically

WORDS: dict[str, Any] = {"what": "the file", "remedy": "Restore it."}
CONTENT = {"name": "résumé", "figures": [1, -2.5, 1e-300, None, True], "inner": {"b": 1.0, "a": ["x"]}}
TENSORS: dict[str, Any] = {
    "weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "bias": np.array([1.5], np.float32),
    "count": np.array(7, np.int64),
}


def json_file(path: Path) -> None:
    write_sealed_json(path, CONTENT)


def tensors_file(path: Path) -> None:
    write_atomically(path, sealed_tensors(safetensors.numpy.save(TENSORS)))


def state_file(path: Path) -> None:
    write_atomically(path, sealed_state(b"PK and all the rest"))


def tensors_in(path: Path) -> Any:
    arrays = safetensors.numpy.load(read_tensors(path, **WORDS))
    return {name: (value.dtype, value.tolist()) for name, value in arrays.items()}


KINDS = pytest.mark.parametrize(
    ("write", "read"),
    [
        (json_file, lambda path: read_sealed_json(path, **WORDS)),
        (tensors_file, tensors_in),
        (state_file, lambda path: read_sealed_state(path, **WORDS)),
    ],
    ids=["json", "tensors", "state"],
)


@KINDS
def test_every_damage_is_named_or_changes_nothing(
    tmp_path: Path, write: Callable[[Path], None], read: Callable[[Path], Any]
) -> None:
    path, rng = tmp_path / "file", np.random.default_rng(0)
    write(path)
    whole, content = read(path), path.read_bytes()
    damaged = [content[:size] for size in range(len(content))]
    for place in range(len(content)):
        for value in {content[place] ^ 1, content[place] ^ 0x80, int(rng.integers(256)), ord("/"), 0}:
            damaged.append(content[:place] + bytes([value]) + content[place + 1 :])
    messages = []
    for version in damaged:
        path.write_bytes(version)
        try:
            found = read(path)
        except ValueError as error:
            messages.append(str(error))
        else:
            assert found == whole, version
    assert len(messages) > len(content)
    assert all(str(path) in one and "\n" not in one and one.endswith("Restore it.") for one in messages)


@KINDS
def test_what_is_no_file_is_named(tmp_path: Path, write: Callable[[Path], None], read: Callable[[Path], Any]) -> None:
    del write
    with pytest.raises(ValueError, match=r"^the file must exist, but got .* Restore it\.$"):
        read(tmp_path / "none")
    with pytest.raises(ValueError, match=r"^the file must be a file, but .* Restore it\.$"):
        read(tmp_path)


def test_files_without_a_seal_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(json.dumps(CONTENT))
    assert read_sealed_json(path, **WORDS) == CONTENT
    path.write_bytes(safetensors.numpy.save(TENSORS, metadata={"format": "pt"}))
    assert tensors_in(path)["count"] == (np.int64, 7)
    path.write_bytes(b"PK\x03\x04")
    assert read_sealed_state(path, **WORDS) == b"PK\x03\x04"


def test_every_reader_of_safetensors_reads_sealed_ones(tmp_path: Path) -> None:
    tensors_file(tmp_path / "file")
    with safetensors.safe_open(tmp_path / "file", "numpy") as file:
        assert file.metadata()["seal"].startswith("sha256-")
        assert file.get_tensor("weight").tolist() == TENSORS["weight"].tolist()


def test_a_seal_is_that_of_the_values_not_of_their_types_in_python() -> None:
    assert sealed({"a": (1, 2), "b": {3: "x"}})["seal"] == sealed({"b": {"3": "x"}, "a": [1, 2]})["seal"]
    assert unsealed([1, 2]) == [1, 2]
    with pytest.raises(ValueError, match="its `seal` is called 'sea1'"):
        unsealed({"a": 1, "sea1": sealed({"a": 1})["seal"]})


def test_who_changed_a_file_on_purpose_is_told_how_to_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "content.json"
    write_sealed_json(path, {"a": 1})
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(ValueError, match="do not match its `seal`, which must go if they were changed on purpose"):
        read_sealed_json(path, **WORDS)
    content = json.loads(path.read_text())
    del content["seal"]
    path.write_text(json.dumps(content))
    assert read_sealed_json(path, **WORDS) == {"a": 2}
