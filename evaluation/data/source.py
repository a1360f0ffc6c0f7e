"""Any image-classification data set as uint8 arrays: scikit-learn's digits, a local path, or a hub name.

Images are cropped to a square, resized, and held as RGB. Start with `load_images`. Shape suffixes: N images,
C channels, H height, W width.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from evaluation.data.columns import (
    check_columns,
    chosen_column,
    find_class_names,
    image_columns,
    is_unlabelled,
    label_columns,
    labels_of,
)
from evaluation.data.images import ImageData, LabelledImages, Progress
from evaluation.data.pictures import decoded, square_pixels
from evaluation.data.published import published_splits


def load_images(
    name_or_path: str,
    *,
    size: int,
    image_column: str | None = None,
    label_column: str | None = None,
    on_progress: Progress = lambda done, total: None,
) -> ImageData:
    """Load a data set and resize its images.

    Args:
        name_or_path: `digits`, a local path (what Hugging Face `datasets` reads: a folder of parquet files, of images
            in one folder a class, or one made by `save_to_disk`; a parquet file), or a name on the Hugging Face hub.
        size: height and width to resize to.
        image_column: column of images, where a data set has several.
        label_column: column of labels, where a data set has several.
        on_progress: called now and then while images are decoded.

    Raises:
        ValueError: if nothing can be loaded from there, it is not clear which columns hold images and labels, there are
            fewer than two classes, a label is of no class, or an image is corrupt; row and split are named.
    """
    if name_or_path == "digits":
        return _load_digits(size)
    splits = published_splits(name_or_path)
    train_name = "train" if "train" in splits else next(iter(splits))
    test_name = next((name for name in ("test", "validation", "valid", "val") if name in splits), None)
    if test_name == train_name:
        test_name = None
    train = splits[train_name]
    where = repr(name_or_path)
    image_column = chosen_column("image", image_column, image_columns(train), train, where)
    label_column = chosen_column("label", label_column, label_columns(train), train, where)
    class_names = find_class_names(train, label_column, where)
    labels: dict[str, npt.NDArray[np.int64]] = {}
    for name in (train_name, test_name):
        if name is None:
            continue
        check_columns(splits[name], image_column, label_column, f"split `{name}` of {where}")
        if name == train_name or not is_unlabelled(splits[name], label_column):
            labels[name] = labels_of(splits[name], label_column, class_names, f"split `{name}` of {where}")
    total = sum(len(labels_N) for labels_N in labels.values())
    parts: dict[str, LabelledImages] = {}
    done, grey = 0, True
    for name, labels_N in labels.items():
        images_NCHW = np.empty((len(labels_N), 3, size, size), np.uint8)
        for row, (pixels_CHW, is_grey) in enumerate(decoded(splits[name], image_column, size, name, where)):
            images_NCHW[row] = pixels_CHW
            grey &= is_grey
            done += 1
            if done % 500 == 0 or done == total:
                on_progress(done, total)
        parts[name] = LabelledImages(images_NCHW, labels_N)
    return ImageData(
        name=name_or_path, train=parts[train_name], test=parts.get(test_name or ""), class_names=class_names, grey=grey
    )


def _load_digits(size: int) -> ImageData:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.stack(
        [square_pixels(Image.fromarray(np.uint8(np.round(image * (255 / 16)))), size)[0] for image in digits.images]
    )
    labels = digits.target.astype(np.int64)
    return ImageData(
        name="digits", train=LabelledImages(images, labels), test=None, class_names=tuple("0123456789"), grey=True
    )
