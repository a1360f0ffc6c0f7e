"""The images of a search, as its config.json has them."""

from __future__ import annotations

from evaluation.errors import certain_images, guessing_error
from evaluation.splits import Splits
from moo.storage.origin import CertainImages, SearchDataset, SplitSizes


def search_dataset(splits: Splits) -> SearchDataset:
    """The images of a search."""
    certain = None
    if splits.error == "balanced":
        certain = CertainImages(
            certain_images(splits.selection.labels_N, splits.error), certain_images(splits.test.labels_N, splits.error)
        )
    return SearchDataset(
        fingerprint=splits.fingerprint,
        classes=splits.class_names,
        mean=splits.mean_C,
        std=splits.std_C,
        resize=splits.resize,
        rules=splits.rules,
        omitted=splits.omitted,
        width=splits.width,
        height=splits.height,
        depth=splits.depth,
        facts=splits.facts,
        images=SplitSizes(
            weights=len(splits.weights),
            theta=len(splits.theta),
            selection=len(splits.selection),
            test=len(splits.test),
        ),
        guessing_error=guessing_error(splits.selection.labels_N, splits.error),
        test_guessing_error=guessing_error(splits.test.labels_N, splits.error),
        error=splits.error,
        certain=certain,
    )
