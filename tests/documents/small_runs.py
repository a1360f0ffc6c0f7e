"""Commands of documents made small: what stands for a user's images, board and time, in tables that can be read.

A command keeps its own options, but for those that `SMALL` makes smaller; data sets and boards that a test has not are
replaced by `STAND_INS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SPACE = """\
name: small
input_size: 8
stem: {channels: 8, stride: 1}
stages: [{channels: 8, layers: 2, stride: 1}]
last_channels: 8
operators: [k3_e1, k5_e3, skip]
"""
NETWORKS = ("66646644", "66444604", "04062640", "04440448", "04840288", "04848488", "84848488")
"""That a document names."""
STAND_INS = {
    # A folder with one folder of small JPEG files for each of three classes.
    "cifar10": "images",
    # The run that others read has the configurations of a Pi.
    "--dataset photos --out": "--dataset images --device pi4 --out",
    "--dataset photos": "--dataset images",
    # This machine.
    "ssh://pi@raspberrypi.local": "host",
    # Clocks that only a Pi can set, and a meter that is wired to one.
    "--threads 1 4 --frequency-mhz 600 1500": "--threads 1",
    "--meter ina219": "",
    # Networks of another space.
    " ".join(f"--only {name}" for name in NETWORKS): "",
    # No cluster is begun.
    "--address auto": "--address local",
    # What nothing but a measurement tells.
    "--runtime onnxruntime litert --precision": "--device pi4 --precision",
    "--pretrain-epochs 18 --out": "--pretrain-epochs 18 --device pi4 --out",
}
SEARCH = {
    "--space": "small.yaml", "--population": "4", "--generations": "1", "--samples": "1",
    "--theta-steps": "2", "--pretrain-epochs": "1",
    "--theta-batch": "8", "--pretrain-batch": "16", "--no-measure": "", "--quiet": "",
}  # fmt: skip
TRAINING = {"--epochs": "1", "--batch-size": "16", "--no-measure": "", "--no-dashboard": "", "--quiet": ""}
SMALL: Mapping[str, Mapping[str, str]] = {
    "pareto_search": SEARCH,
    "profile_device": {"--networks": "3", "--passes": "1", "--configurations": "base", "--quiet": ""},
    "train_front": TRAINING,
    "adapt_front": {
        "--exit-epochs": "1",
        "--joint-epochs": "0",
        "--no-measure": "",
        "--no-dashboard": "",
        "--quiet": "",
    },
    "compare_baselines": TRAINING | {"--only": "mobilenet-v2-0.35"},
    # The small space has nine architectures.
    "sample_architectures": {"--count": "3"},
    "train_architecture": {"--epochs": "1", "--batch-size": "16", "--quiet": ""},
}
"""Options of each script, and their values in tests: instead of those of the command, or added to it."""
WITHOUT_EFFECT = {
    "--resume": {*SEARCH} - {"--quiet", "--generations"},
    "--from": {"--space", "--pretrain-epochs", "--pretrain-batch", "--samples"},
    "--threads": {"--configurations"},
    "--minutes": {"--generations", "--epochs"},
}
"""Options that do not go with another one: those of `SMALL` are not added to it."""
KEPT = {"--population"}
"""Options that keep a command's own value."""
ON_SMALL_SPACE = {"fbnet-cifar": "small.yaml"}
"""Of searches and profiles; training of published networks needs their own space."""


def made_small(script: str, options: Sequence[str]) -> list[str]:
    """The options of a command with small values.

    Args:
        script: without `.py`.
        options: of the command.
    """
    text = " ".join(options)
    for old, new in STAND_INS.items():
        text = text.replace(old, new)
    if script in ("pareto_search", "profile_device"):
        for old, new in ON_SMALL_SPACE.items():
            text = text.replace(f"--space {old}", f"--space {new}")
    words, small = text.split(), dict(SMALL.get(script, {}))
    for option, others in WITHOUT_EFFECT.items():
        if option in words:
            small = {name: value for name, value in small.items() if name not in others or name in words}
    if "--resume" in words and "--generations" in words:
        # One more than the run has.
        small["--generations"] = "2"
    if "--resume" in words and script == "train_architecture":
        small = {"--quiet": ""}
    for option, value in small.items():
        if option not in words:
            words += [option, value] if value else [option]
        elif option not in KEPT and value:
            first = words.index(option) + 1
            last = next((n for n in range(first, len(words)) if words[n].startswith("--")), len(words))
            words[first:last] = [value]
    return words


def write_images(folder: Path, *, classes: int = 3, each: int = 40, size: int = 24) -> None:
    """Small JPEG files, a folder for each class: noise around a colour of its own.

    Args:
        folder: to make.
        classes: how many.
        each: images of each class.
        size: height and width in pixels.
    """
    rng = np.random.default_rng(0)
    for label in range(classes):
        place = folder / f"kind_{label}"
        place.mkdir(parents=True)
        for number in range(each):
            pixels_HWC = rng.integers(0, 128, (size, size, 3)) + 127 * (np.arange(3) == label)
            Image.fromarray(pixels_HWC.astype(np.uint8)).save(place / f"{number}.jpg")
