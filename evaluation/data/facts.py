"""Which published splits a data set has, and how many images of each class, as work keeps it.

Importing this is quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search_space.boundary.text import one_line

DIGITS = "digits"
"""The data set that comes with scikit-learn."""
LEAST_OF_CLASS = 4
"""Images of a class that is in all four splits."""
NAMED_CLASSES = 10
"""Classes that are told one by one, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetFacts:
    """What was trained and tested on, before a part of the training images was held out."""

    train_split: str
    """Published split that is trained on."""
    test_split: str | None
    """Published split that is tested on; None where a part of the training images is held out for that."""
    images_of_class: tuple[int, ...]
    """Training images of each class, in the order of the logits."""
    test_images_of_class: tuple[int, ...]
    """Of the test split; empty without one."""
    left_out: tuple[str, ...] = ()
    """What is not used, each with the reason."""
    warnings: tuple[str, ...] = ()
    """What the owner of the images should know."""

    @property
    def images(self) -> int:
        """Training images."""
        return sum(self.images_of_class)

    @property
    def test_images(self) -> int:
        """Of the published test split."""
        return sum(self.test_images_of_class)


def used_text(facts: DatasetFacts, *, test_images: int, omitted: int) -> str:
    """Which split is trained and which tested on, and what is left out.

    Args:
        facts: of the data set.
        test_images: that are tested on, where a part of the training images is held out.
        omitted: pictures that cannot be read.
    """
    test = f"`{one_line(facts.test_split)}` ({facts.test_images:,})" if facts.test_split else f"{test_images:,} of them"
    left_out = [*facts.left_out, *([f"{omitted:,} that cannot be read"] if omitted else [])]
    text = f"trained on `{one_line(facts.train_split)}` ({facts.images:,}), tested on {test}"
    return text + (f"; left out: {', '.join(left_out)}" if left_out else "")


def numbers_text(facts: DatasetFacts, classes: Sequence[str]) -> str:
    """How many images each class has: one by one where there are few classes, and which ones have hardly any.

    Args:
        facts: of the data set.
        classes: their names.
    """
    text = _of_each(facts.images_of_class, classes)
    if facts.test_split is not None:
        text += f"; tested on {_of_each(facts.test_images_of_class, classes)}"
    least = LEAST_OF_CLASS if facts.test_split is None else LEAST_OF_CLASS - 1
    few = [one_line(name) for number, name in zip(facts.images_of_class, classes, strict=True) if number < least]
    if few:
        more = ", ..." if len(few) > NAMED_CLASSES else ""
        text += f"; fewer than {least}, so not in every split: {', '.join(few[:NAMED_CLASSES])}{more}"
    return text


def _of_each(counts: Sequence[int], classes: Sequence[str]) -> str:
    numbers = sorted(((number, one_line(name)) for number, name in zip(counts, classes, strict=True)), reverse=True)
    if len(numbers) <= NAMED_CLASSES:
        return ", ".join(f"{name} {number:,}" for number, name in numbers)
    return f"{numbers[-1][0]:,} ({numbers[-1][1]}) to {numbers[0][0]:,} ({numbers[0][1]})"
