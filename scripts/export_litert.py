"""Write LiteRT files beside the ONNX files of networks.

Examples:
    python scripts/export_litert.py runs/first
    python scripts/export_litert.py runs/first/front/028302830
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from tyro.conf import Positional

from scripts.interface.command_line import parse, run
from scripts.interface.help_pages import EXPORT_LITERT
from search_space.boundary.reading import local_path


@dataclass(frozen=True)
class ExportConfig:
    """Write `model.tflite` beside each `model.onnx`, and `model_int8.tflite` beside each `model_int8.onnx`.

    Needs the package `ai-edge-litert`. Each file is run and compared with its ONNX file.
    """

    folder: Positional[str]
    """Folder of a run, whose networks, trainings and baselines are meant, or of a network of it."""


def main() -> None:
    """Parse the options, write the files, print their names."""
    config = parse(ExportConfig, page=EXPORT_LITERT)

    # Late, so that `--help` and mistakes in the options are answered at once.
    from evaluation.litert_files import write_litert_files

    for file in write_litert_files(local_path(config.folder)):
        kilobytes = f"{file.size / 1000:,.0f} kB"
        print(f"{file.path}: {file.precision}, {kilobytes}; logits differ from ONNX Runtime's by {file.difference:.1e}")


def command() -> NoReturn:
    """The console command of this script."""
    run(main)


if __name__ == "__main__":
    command()
