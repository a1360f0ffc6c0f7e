"""Errors as they are told: on how many images, with their interval, and beside that of guessing.

Start with `told_error`, which is the one to believe: on the test split where it was read, else on the selection split.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from evaluation.errors import ERROR_NAMES, GUESSES, ErrorKind
from moo.analysis.chance import Interval, wilson
from moo.formatting import percent_within
from moo.storage.archive import OperatingPoint
from moo.storage.origin import SearchDataset

Split = Literal["selection", "test"]
_GUESSED: Mapping[ErrorKind, str] = {"plain": "the commonest class", "balanced": "one class"}
INTERVALS: Mapping[ErrorKind, str] = {
    "plain": "In parentheses stands the 95 % interval, which so many images leave open.",
    "balanced": "Errors and accuracies are balanced: all classes count alike (accuracy is the mean of their recalls). "
    "In parentheses stands a 95 % interval that is at least wide enough: it is that of as many images as the rarest "
    "class has, times the number of classes.",
}
"""What is said of intervals beside them."""
TRY_INSTEAD = "more images, `--from` a run on a larger set of images, or more epochs (`--pretrain-epochs`)"
"""What helps where networks are no better than guessing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToldError:
    """An error, and what chance may have done to it."""

    error: float
    """In [0, 1]."""
    split: Split
    images: int | None = None
    """Of the split; None where that is not known."""
    certain: int | None = None
    """Images that the interval is made with, where these are not those of the split."""
    kind: ErrorKind = "plain"
    """What is called an error."""
    guessing: float | None = None
    """Error on the split of always answering its commonest class; None where that is not known."""

    @property
    def certain_images(self) -> int | None:
        """Images that chance is judged by; None where that is not known."""
        return self.certain or self.images

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval; None where the number of images is not known."""
        return None if self.certain_images is None else wilson(self.error, self.certain_images)

    @property
    def beats_guessing(self) -> bool | None:
        """Whether the whole interval lies below the error of always answering the commonest class; None if unknown."""
        if self.interval is None or self.guessing is None:
            return None
        return self.interval.high < self.guessing

    @property
    def text(self) -> str:
        """As in `12.3 % (9.1–16.4)`."""
        return share_text(self.error, self.certain_images)

    @property
    def accuracy_text(self) -> str:
        """The accuracy, 1 less the error, in the same form."""
        return share_text(1 - self.error, self.certain_images)


def chosen_by_note(splits: Iterable[Split]) -> str:
    """Why the least error of many that were tried is not to be believed as it stands.

    Args:
        splits: those that errors which are told are of.
    """
    note = "Networks were chosen by their errors on the selection split: the least of many is too low there by chance"
    if "test" in splits:
        return f"{note}. The test split, which was read once and chose nothing, says what to expect."
    return f"{note}; the test split was not read yet."


def share_text(share: float, images: int | None) -> str:
    """An error or an accuracy with its interval, as in `12.3 % (9.1–16.4)`; without where images are not known."""
    if images is None:
        return percent_within(share)
    interval = wilson(share, images)
    return percent_within(share, interval.low, interval.high)


def on_selection_split(error: float, data: SearchDataset | None) -> ToldError:
    """An error on the selection split."""
    if data is None:
        return ToldError(error=error, split="selection")
    return ToldError(
        error=error,
        split="selection",
        images=data.images.selection or None,
        certain=None if data.certain is None else data.certain.selection,
        kind=data.error,
        guessing=data.guessing_error,
    )


def on_test_split(error: float, data: SearchDataset | None) -> ToldError:
    """An error on the test split."""
    if data is None:
        return ToldError(error=error, split="test")
    return ToldError(
        error=error,
        split="test",
        images=data.images.test or None,
        certain=None if data.certain is None else data.certain.test,
        kind=data.error,
        guessing=data.test_guessing_error,
    )


def told_error(point: OperatingPoint, data: SearchDataset | None) -> ToldError:
    """The error of a point that is to be believed: on the test split where that was read, else on the selection split.

    Args:
        point: of a front; after training the error is that of the file in its precision.
        data: the images of the run.
    """
    on_test = read_test_error(point)
    return on_selection_split(point.error, data) if on_test is None else on_test_split(on_test, data)


def read_test_error(point: OperatingPoint) -> float | None:
    """Error on the test split with the weights of `point.error`; None where it was not read."""
    trained = point.entry.trained
    if point.trained and trained is not None:
        return 1 - trained.file_for(point.configuration).top1
    return point.test_error


def guessing_verdict(best: ToldError) -> str:
    """What to say of a run whose best network is no better than guessing, and what to try; empty where it is better.

    Args:
        best: of the most accurate network that is handed out.
    """
    if best.beats_guessing is not False or best.guessing is None:
        return ""
    return (
        f"The best network is not better than {GUESSES[best.kind]}: too few images or too short. Its "
        f"{ERROR_NAMES[best.kind]} on the {best.split} split is {best.text}; {_GUESSED[best.kind]} errs in "
        f"{percent_within(best.guessing)}. "
        f"Try {TRY_INSTEAD}."
    )


def error_kind(data: SearchDataset | None) -> ErrorKind:
    """What is called an error; plain where that is not known."""
    return "plain" if data is None else data.error
