"""Small data sets of images as files of every form, and what their arrays must be."""

import io
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet  # type: ignore[import-untyped]
import pytest
from PIL import Image

from evaluation.data.images import LabelledImages

Pixels = npt.NDArray[np.uint8]
Cell = dict[str, bytes | str | None] | None
CLASSES = datasets.ClassLabel(names=["cat", "dog"])
LABELS = [0, 0, 0, 1, 1]


def pixels(count: int = 5, *, size: int = 4, seed: int = 0) -> Pixels:
    """Random images (N, H, W, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


TRAIN, TEST = pixels(seed=1), pixels(seed=2)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def images(pixels_NHWC: Pixels = TRAIN) -> list[Image.Image]:
    return [Image.fromarray(pixels_HWC) for pixels_HWC in pixels_NHWC]


def data_set(
    labels: list[Any], *, pixels_NHWC: Pixels = TRAIN, label: Any = CLASSES, names: tuple[str, ...] = ("image", "label")
) -> datasets.Dataset:
    features = datasets.Features({names[0]: datasets.Image(), names[1]: label})
    return datasets.Dataset.from_dict({names[0]: images(pixels_NHWC), names[1]: labels}, features=features)


def write_raw(path: Path, cells: list[Cell], labels: Sequence[str] = ("a", "b")) -> None:
    """A parquet file written by another program: a struct of bytes and path, and a text."""
    image = pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    path.parent.mkdir(exist_ok=True)
    pa.parquet.write_table(pa.table({"picture": image, "kind": pa.array(labels)}), path)


def raw(image: Image.Image | bytes) -> Cell:
    return {"bytes": image if isinstance(image, bytes) else png(image), "path": None}


def parquet_folder(folder: Path, **options: Any) -> None:
    folder.mkdir()
    for split, pixels_NHWC in (("train", TRAIN), ("test", TEST)):
        part = data_set(LABELS, pixels_NHWC=pixels_NHWC, **options)
        part.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def one_folder_a_class(folder: Path, pixels_NHWC: Pixels = TRAIN) -> None:
    for number, (image, label) in enumerate(zip(images(pixels_NHWC), LABELS, strict=True)):
        path = folder / CLASSES.names[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)


def check(part: LabelledImages | None, pixels_NHWC: Pixels, labels: list[Any] = LABELS) -> None:
    assert part is not None
    assert part.pixels.dtype == np.uint8
    assert part.labels_N.dtype == np.int64
    np.testing.assert_array_equal(part.pixels, pixels_NHWC.transpose(0, 3, 1, 2))
    assert part.labels_N.tolist() == labels


def one_line(rule: str) -> AbstractContextManager[object]:
    """Expects one `ValueError` of a single line."""
    return pytest.raises(ValueError, match=rf"\A(?-s:{rule}.*)\Z")


def columns(tmp_path: Path, **values: list[Any]) -> str:
    features = {
        "image": datasets.Image(),
        "photo": datasets.Image(),
        "label": CLASSES,
        "fine": datasets.ClassLabel(names=list("abcde")),
        "number": datasets.Value("int64"),
        "text": datasets.Value("string"),
        "score": datasets.Value("float32"),
    }
    chosen = datasets.Features({name: features[name] for name in values})
    datasets.Dataset.from_dict(values, features=chosen).save_to_disk(tmp_path / "data")
    return str(tmp_path / "data")
