"""What the error of a network is: of all images alike, or of all classes alike. Start with `share_of`.

Shape suffixes: N images, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

ErrorKind = Literal["plain", "balanced"]
"""`plain` is the share of images; `balanced` is the mean of the classes' shares, 1 less the balanced accuracy."""
ERROR_NAMES: Mapping[ErrorKind, str] = {"plain": "error", "balanced": "balanced error"}
ACCURACY_NAMES: Mapping[ErrorKind, str] = {"plain": "accuracy", "balanced": "balanced accuracy"}
"""Of images, and of classes alike."""
GUESSES: Mapping[ErrorKind, str] = {
    "plain": "always answering the commonest class",
    "balanced": "always answering one class",
}


def share_of(chosen_N: npt.NDArray[np.bool_], labels_N: npt.NDArray[np.int64], kind: ErrorKind) -> float:
    """The share of images that are chosen, in [0, 1]: of the wrong ones the error, of the right ones the accuracy.

    Source: Brodersen et al., "The balanced accuracy and its posterior distribution" (ICPR 2010); scikit-learn's
    `balanced_accuracy_score`.

    Args:
        chosen_N: of a split, at least one image.
        labels_N: class of each.
        kind: whether images count alike, or classes; classes without an image do not count.
    """
    if kind == "plain":
        return int(np.count_nonzero(chosen_N)) / len(chosen_N)
    return class_mean(chosen_N.astype(np.float64), labels_N)


def class_mean(values_N: npt.NDArray[np.float64], labels_N: npt.NDArray[np.int64]) -> float:
    """The mean over classes of their images' mean values; classes without an image do not count."""
    counts_K = np.bincount(labels_N)
    sums_K = np.bincount(labels_N, weights=values_N)
    return float(np.mean(sums_K[counts_K > 0] / counts_K[counts_K > 0]))


def guessing_error(labels_N: npt.NDArray[np.int64], kind: ErrorKind) -> float:
    """Error of always giving the best one answer: the commonest class, or any where classes count alike."""
    counts_K = np.bincount(labels_N)
    if kind == "plain":
        return 1 - float(counts_K.max(initial=0)) / max(len(labels_N), 1)
    return 1 - 1 / max(int(np.count_nonzero(counts_K)), 1)


def certain_images(labels_N: npt.NDArray[np.int64], kind: ErrorKind) -> int:
    """Images on which a plain error would be at least as uncertain as this one on its split.

    The mean of K classes' errors p_k, each on n_k images, has the variance sum p_k (1 - p_k) / (K^2 n_k). With n the
    images of the rarest class, and as p (1 - p) is concave, that is at most e (1 - e) / (K n), where e is the mean:
    the variance of a plain error on K n images.
    """
    counts_K = np.bincount(labels_N)
    present_K = counts_K[counts_K > 0]
    return len(labels_N) if kind == "plain" else int(len(present_K) * present_K.min(initial=len(labels_N)))
