"""Which published split trains and which tests, by their names or as the user says. Importing this is quick.

What names do not tell is asked for, never guessed: a refusal names the splits with their numbers of images, and the
option to type.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Literal

from search_space.boundary.text import one_line, shown

Role = Literal["train", "test", "validation"]
NO_SPLIT = "none"
"""As a test split: a part of the training images is held out."""
ALL_IMAGES = "all"
"""As the training split of a folder of images: all of them, whatever folders are called."""
_ROLES: dict[str, Role] = {
    **dict.fromkeys(("train", "training", "trn", "trainset"), "train"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "eval", "evaluation"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev", "devel", "development"), "validation"),
    **dict.fromkeys(("holdout",), "validation"),
}
_FILLERS = frozenset(
    {
        "set",
        "data",
        "dataset",
        "split",
        "images",
        "image",
        "imgs",
        "img",
        "pictures",
        "photos",
        "folder",
        "files",
        "seg",
    }
)
"""Words that say nothing of a split, as in `seg_train` or `Train Images`."""
_FOLD = re.compile(r"(?i)(k|cv)?[-_ ]?(fold|split|part|partition|chunk|shard)s?[-_ ]?\d+")
_LISTED = 20


class UnclearError(ValueError):
    """It cannot be told what folders or files of a data set are; the message says why, and what to do."""


def role_of(name: str) -> Role | None:
    """What a split is for by its name, in any case and spelling; None for a name that does not say so."""
    words = [word.casefold() for run in re.findall(r"[^\W\d_]+", name) for word in _words_of(run)]
    telling = [word for word in words if word not in _FILLERS]
    return _ROLES.get(telling[0]) if len(telling) == 1 else None


def is_fold(name: str) -> bool:
    """Whether a folder is called as a numbered part of a data set is."""
    return _FOLD.fullmatch(name) is not None


def choose_train_split(sizes: Mapping[str, int], *, asked: str | None, where: str) -> str:
    """The split that is trained on.

    Args:
        sizes: number of images of each split.
        asked: what the user named.
        where: the data set, for messages.

    Raises:
        ValueError: if there is none of the asked name, or names do not tell.
    """
    if asked is not None:
        return _named(asked, sizes, option="--train-split", where=where)
    if len(sizes) == 1:
        return next(iter(sizes))
    found = _of_role("train", sizes)
    if len(found) == 1:
        return found[0]
    raise ValueError(
        f"it must be clear which split is trained on, but {where} has {splits_text(sizes)}: choose one by "
        f"--train-split, and by --test-split one to test on, or `{NO_SPLIT}` to hold images out."
    )


def choose_test_split(
    sizes: Mapping[str, int], labelled: Collection[str], *, train: str, asked: str | None, where: str
) -> str | None:
    """The split that is tested on; None where a part of the training images is held out for that.

    Args:
        sizes: number of images of each split.
        labelled: those of them whose images have labels.
        train: the one that is trained on.
        asked: what the user named.
        where: the data set, for messages.

    Raises:
        ValueError: if there is none of the asked name, it cannot be tested on, or names do not tell.
    """
    if asked is not None:
        if asked.casefold() == NO_SPLIT and asked not in sizes:
            return None
        name = _named(asked, sizes, option="--test-split", where=where, none=True)
        if name == train:
            raise ValueError(
                f"`--test-split` must name another split than that trained on, but got {shown(asked)} for both; `none` "
                "holds a part of the training images out."
            )
        if name not in labelled:
            raise ValueError(
                f"`--test-split` must name a split with labels, but the images of {code_of(name)} of {where} have none."
            )
        return name
    others = [name for name in sizes if name != train and name in labelled]
    for role in ("test", "validation"):
        found = _of_role(role, others)
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(
                f"it must be clear which split is tested on, but {where} has {splits_text(sizes)}: choose one by "
                f"--test-split, or `{NO_SPLIT}` to hold training images out."
            )
    return None


def splits_text(sizes: Mapping[str, int]) -> str:
    """Splits with their numbers of images, the first of many."""
    listed = [f"{code_of(name)} ({size:,})" for name, size in list(sizes.items())[:_LISTED]]
    more = f", and {len(sizes) - _LISTED} more" if len(sizes) > _LISTED else ""
    noun = "one split alone, " if len(sizes) == 1 else "the splits "
    return f"{noun}{', '.join(listed)}{more}"


def code_of(name: str) -> str:
    """A split's name in backticks."""
    return f"`{one_line(name, most=60)}`"


def _named(asked: str, sizes: Mapping[str, int], *, option: str, where: str, none: bool = False) -> str:
    if asked in sizes:
        return asked
    alike = [name for name in sizes if name.casefold() == asked.strip().casefold()]
    if len(alike) == 1:
        return alike[0]
    or_none = f", or be `{NO_SPLIT}` to hold training images out" if none else ""
    raise ValueError(
        f"`{option}` must name a split{or_none}, but {where} has {splits_text(sizes)}, not {shown(asked)}."
    )


def _of_role(role: Role, names: Collection[str]) -> list[str]:
    """Those of a role; one alone where it is called by the role itself."""
    found: list[str] = [name for name in names if role_of(name) == role]
    for written in (str, str.casefold):
        plain = [name for name in found if written(name) == role]
        if len(plain) == 1:
            return plain
    return found


def _words_of(run: str) -> list[str]:
    """Words of a run of letters, which capitals may part, as in `TrainSet`."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^A-Z]+|[A-Z]", run)
    return words if "".join(words) == run else [run]
