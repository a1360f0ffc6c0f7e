"""Python that runs a network on a board: `photo_snippet` classifies photo.jpg, `camera_snippet` what a camera sees."""

from __future__ import annotations

import json
from collections.abc import Sequence

from devices.configuration import BASE, RuntimeConfiguration
from evaluation.data.pictures import PADDING
from evaluation.data.rules import Resize
from moo.storage.origin import SearchDataset
from moo.storage.run_folder import file_name_for
from search_space.boundary.text import one_line
from search_space.onnx_files import INPUT_NAME

PHOTO_PACKAGES = "pip install onnxruntime pillow"
"""What the first needs on a board under ONNX Runtime; it brings `numpy`."""
CAMERA_PACKAGES = "sudo apt install python3-picamera2"


def photo_packages(configuration: RuntimeConfiguration) -> str:
    """What `photo_snippet` needs on a board; it brings `numpy`."""
    return PHOTO_PACKAGES if configuration.runtime == "ort" else "pip install ai-edge-litert pillow"


def photo_snippet(data: SearchDataset, *, size: int, configuration: RuntimeConfiguration = BASE) -> str:
    """Python that prints the class of photo.jpg and its probability, with the threads that were measured.

    Args:
        data: gives classes, each of which becomes one printable line, normalisation, and how pictures were made square.
        size: height and width that the network takes, in pixels.
        configuration: gives file and threads.
    """
    file = file_name_for(configuration)
    in_onnx = configuration.runtime == "ort"
    at = f"  # measured at {configuration.frequency_mhz} MHz" if configuration.frequency_mhz is not None else ""
    upright = "ImageOps.exif_transpose(photo)" if data.rules > 1 else "photo"
    levels, picture = "", upright
    if data.depth is not None:
        low, high = (f"{level:.9g}" for level in data.depth)
        picture = f"eight_bits({upright})"
        levels = f"""

def eight_bits(picture):  # of more bits a pixel: one scale for all pictures
    if picture.mode not in ("I", "F") and not picture.mode.startswith("I;16"):
        return picture
    shares = np.nan_to_num((np.asarray(picture, np.float64) - {low}) / ({high} - {low}))
    return Image.fromarray(np.uint8(np.clip(shares, 0, 1) * 255 + 0.5))
"""
    draft = f"    photo.draft(None, ({2 * size}, {2 * size}))  # a large JPEG file is decoded smaller\n"
    package = "import onnxruntime as ort" if in_onnx else "from ai_edge_litert.interpreter import Interpreter"
    opened = f"""interpreter = Interpreter("{file}", num_threads={configuration.threads}){at}
run = interpreter.get_signature_runner()"""
    if in_onnx:
        opened = f"""options = ort.SessionOptions()
options.intra_op_num_threads = {configuration.threads}{at}
session = ort.InferenceSession("{file}", options, providers=["CPUExecutionProvider"])"""
    layout = ".transpose(2, 0, 1)" if in_onnx else ""
    call = f'session.run(None, {{"{INPUT_NAME}": images}})[0]' if in_onnx else f'run({INPUT_NAME}=images)["logits"]'
    packages = sorted(["from PIL import Image, ImageOps", *([] if in_onnx else [package])], key=str.lower)
    head = "\n".join(["import numpy as np", *([package] if in_onnx else []), *packages])
    return f"""{head}

classes = {json.dumps([one_line(name) for name in data.classes], ensure_ascii=False)}
mean, std = np.float32({_list(data.mean)}), np.float32({_list(data.std)})
{opened}
{levels}

def classify(picture):
    square = {_square(data.resize, size)}
    images = ((np.asarray(square, np.float32) / 255 - mean) / std){layout}[None]
    logits = {call}[0]
    shares = np.exp(logits - logits.max())
    return f"{{classes[logits.argmax()]}} {{100 * shares.max() / shares.sum():.1f}} %"


if __name__ == "__main__":
    photo = Image.open("photo.jpg")
{draft if data.rules > 1 else ""}    print(classify({picture}.convert("RGB")))"""


def camera_snippet() -> str:
    """Python that prints the class of each frame of a Raspberry Pi's camera; the other lies beside it as classify.py.

    Source: "The Picamera2 Library" (Raspberry Pi Ltd), appendix A: arrays of the format `BGR888` have pixels in the
    order red, green, blue; those of `RGB888` have blue first.
    """
    return """import time
from picamera2 import Picamera2
from PIL import Image
from classify import classify

camera = Picamera2()
# Picamera2 names formats from the last byte on: arrays of BGR888 are red, green, blue; those of RGB888 are not.
camera.configure(camera.create_video_configuration(main={"size": (640, 480), "format": "BGR888"}))
camera.start()
frames, start = 0, time.monotonic()
while True:
    said, frames = classify(Image.fromarray(camera.capture_array())), frames + 1
    print(f"{said}, {frames / (time.monotonic() - start):.1f} frames a second")"""


def how_square(resize: Resize, size: int) -> str:
    """How a picture becomes the network's input, as a sentence."""
    what = {
        "crop": "The central square of an upright picture",
        "pad": "An upright picture, whole, between grey bars where it is not square",
        "stretch": "An upright picture, whole, out of proportion where it is not square",
    }[resize]
    return f"{what}, resized to {size} x {size} pixels (bicubic)."


def _list(values: Sequence[float]) -> str:
    """With all digits that float32 has."""
    return "[" + ", ".join(f"{value:.8g}" for value in values) + "]"


def _square(resize: Resize, size: int) -> str:
    sides = f"({size}, {size})"
    if resize == "stretch":
        return f"picture.resize({sides}, Image.Resampling.BICUBIC)"
    if resize == "pad":
        return f"ImageOps.pad(picture, {sides}, Image.Resampling.BICUBIC, color={PADDING})"
    return f"ImageOps.fit(picture, {sides}, Image.Resampling.BICUBIC)"
