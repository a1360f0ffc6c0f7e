"""Classify images with a network that stops early where it is sure: `python run.py photo.jpg`, `python run.py --list`.

It needs Python 3.9, numpy and onnxruntime alone, or ai-edge-litert for points under LiteRT; Pillow opens photos, images
in .npy files do without. In a program:

    from run import AdaptiveNetwork
    network = AdaptiveNetwork("path/of/this/folder", max_latency_ms=5)
    answer = network.classify(image)  # uint8, shape (height, width, 3), red first
    print(answer.class_name, answer.confidence, answer.exit)
    network.use(1)  # another operating point of the same threads and files; nothing is loaded
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import runpy
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FORM = 1
"""Of adaptive.json."""
MOST_JSON_BYTES, MOST_FILE_BYTES = 24 * 2**20, 2**31
PICTURES = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
"""Formats that are opened; some others hold programs."""
COPY_AGAIN = "Copy the whole folder again."

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Answer(NamedTuple):
    """What a network says of an image."""

    class_name: str
    class_index: int
    confidence: float
    """Largest softmax of the exit that answered."""
    exit: int
    """Where the image left, from 1; one more than there are early exits where it passed all."""


class Point(NamedTuple):
    """An operating point: when images leave, and what is expected of it."""

    number: int
    """From 0, the most accurate first."""
    label: str
    precision: str
    files: str
    """The precision, `fp32` or `int8`, after `litert` under LiteRT."""
    threads: int
    frequency_mhz: int | None
    thresholds: tuple[float, ...]
    """An image leaves at the first exit whose largest softmax exceeds its threshold."""
    error: float
    latency_ms: float
    """Expected; measured on the board, or modelled, as `latency_source` says."""
    worst_latency_ms: float
    """Of the longest way that an image can take."""
    latency_source: str
    energy_mj: float
    energy_source: str
    exit_shares: tuple[float, ...]

    @property
    def line(self) -> str:
        """It in one line."""
        shares = " ".join(f"{share:.0%}" for share in self.exit_shares)
        return (
            f"{self.number:3}  {self.label:<24} error {self.error:6.2%}  {self.latency_ms:.4g} ms expected, "
            f"{self.worst_latency_ms:.4g} ms at worst ({self.latency_source})  {self.energy_mj:.4g} mJ "
            f"({self.energy_source})  leave at each exit: {shares}"
        )


class AdaptiveDescription(NamedTuple):
    """What adaptive.json says."""

    points: tuple[Point, ...]
    classes: tuple[str, ...]
    size: int
    """Height and width of the network's input in pixels."""
    mean: Floats
    """Of each channel; so is the next."""
    std: Floats
    resize: str
    """How pictures are made square: `crop`, `pad` or `stretch`."""
    upright: bool
    """Whether photos are turned as their EXIF data say."""
    padding: tuple[int, ...]
    """Colour of what is added to pictures that are padded."""
    digests: dict[str, tuple[str, ...]]
    """SHA-256 of each segment, by `Point.files`."""
    depth: tuple[float, float] | None = None
    """Levels that become black and white, of pictures of more than 8 bits a pixel."""


class AdaptiveNetwork:
    """The network of a folder, ready to classify; one thread of a program may use it at a time."""

    def __init__(
        self,
        folder: str | os.PathLike[str] = ".",
        *,
        point: int | None = None,
        max_latency_ms: float | None = None,
        precision: str | None = None,
        threads: int | None = None,
    ) -> None:
        """Load a network.

        Args:
            folder: with adaptive.json and the segments.
            point: number of the operating point; by default the most accurate one that the next two allow.
            max_latency_ms: expected latency that the point may have at most.
            precision: `fp32` or `int8`, after `litert` for points under that alone; by default that of the point.
            threads: by default those that the point was judged with.

        Raises:
            ValueError: if there is no such point, or the folder is incomplete or damaged, in one line.
        """
        self.folder = Path(folder)
        self._about = read_description(self.folder)
        self.points, self.classes, self.size = self._about.points, self._about.classes, self._about.size
        if threads is not None and threads < 1:
            raise ValueError(f"`threads` must be at least 1, but got {threads}.")
        self._threads = threads
        chosen = choose(self.points, point=point, max_latency_ms=max_latency_ms, precision=precision)
        of_litert = chosen.files.startswith("litert ")
        images = np.empty((1, self.size, self.size, 3) if of_litert else (1, 3, self.size, self.size), np.float32)
        self._input_HWC = images[0] if of_litert else images[0].transpose(1, 2, 0)
        self.loaded = (chosen.files, chosen.threads if threads is None else threads)
        """Precision, as in `Point.files`, and threads."""
        self._segments = _load(self.folder, self._about.digests[chosen.files], *self.loaded, images)
        self.use(chosen.number)

    def use(self, point: int) -> Point:
        """Change to another operating point, which takes no time; nothing is loaded.

        Args:
            point: its number.

        Raises:
            ValueError: if there is none, or it needs other files or threads than those that were loaded.
        """
        chosen = choose(self.points, point=point)
        needed = (chosen.files, chosen.threads if self._threads is None else self._threads)
        if needed != self.loaded:
            raise ValueError(
                f"a point must have the precision and threads that were loaded, {self.loaded[0]} and "
                f"{self.loaded[1]}, but point {point} is `{chosen.label}`: open another AdaptiveNetwork for it."
            )
        # In float32, as confidences are, and as they were when thresholds were chosen.
        self._thresholds = [np.float32(value) for value in chosen.thresholds]
        self.point = chosen
        return chosen

    def classify(self, image: Pixels) -> Answer:
        """Say what an image shows.

        Args:
            image: uint8, shape (height, width, 3), red first. Pillow is needed if it is not of the network's size.

        Raises:
            ValueError: if it is none.
        """
        self.prepare(image)
        return self.answer()

    def prepare(self, image: Pixels) -> None:
        """Make an image the network's input: square, of its size, normalised.

        Raises ValueError as `classify`.
        """
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            got = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise ValueError(f"an image must be uint8 of shape (height, width, 3), but got {got}.")
        if image.shape[:2] != (self.size, self.size):
            image = self._square(image)
        self._input_HWC[:] = (image.astype(np.float32) / 255 - self._about.mean) / self._about.std

    def answer(self) -> Answer:
        """Run the network on what was prepared, segment by segment, until one is sure."""
        for number, segment in enumerate(self._segments):
            logits_K = segment.run()
            highest = logits_K.max()
            confidence: np.float32 = np.exp(-np.log(np.exp(logits_K - highest).sum()))
            if number == len(self._thresholds) or confidence > self._thresholds[number]:
                break
        index = int(logits_K.argmax())
        return Answer(self.classes[index], index, float(confidence), number + 1)

    def open_photo(self, path: str | os.PathLike[str]) -> Pixels:
        """A picture from a file, upright and in RGB; raises ValueError if it cannot be opened, or Pillow is missing."""
        pillow = _pillow(f"open {path}")
        try:
            with pillow.Image.open(path, formats=PICTURES) as photo:
                if self._about.upright:
                    photo.draft(None, (2 * self.size, 2 * self.size))  # a large JPEG file is decoded smaller
                    photo = pillow.ImageOps.exif_transpose(photo)
                if self._about.depth is not None and (photo.mode in ("I", "F") or photo.mode.startswith("I;16")):
                    low, high = self._about.depth
                    shares = np.nan_to_num((np.asarray(photo, np.float64) - low) / (high - low))
                    photo = pillow.Image.fromarray(np.uint8(np.clip(shares, 0, 1) * 255 + 0.5))
                return np.asarray(photo.convert("RGB"))
        except FileNotFoundError:
            raise ValueError(f"a photo must exist, but got {str(path)!r}.") from None
        except Exception as error:  # of a damaged picture, Pillow raises whatever comes of it
            raise ValueError(f"a photo must be a picture, but {str(path)!r} is not: {_line(error)}.") from None

    def _square(self, image: Pixels) -> Pixels:
        if 0 in image.shape:
            raise ValueError(f"an image must have pixels, but has the shape {image.shape}.")
        pillow = _pillow(f"resize images to {self.size} x {self.size} pixels")
        picture, sides = pillow.Image.fromarray(image), (self.size, self.size)
        bicubic = pillow.Image.Resampling.BICUBIC
        if self._about.resize == "stretch":
            return np.asarray(picture.resize(sides, bicubic))
        if self._about.resize == "pad":
            return np.asarray(pillow.ImageOps.pad(picture, sides, bicubic, color=self._about.padding))
        return np.asarray(pillow.ImageOps.fit(picture, sides, bicubic))


class BoundSegment:
    """A file bound to the arrays that it reads and writes: nothing is copied from one segment to the next."""

    def __init__(self, model: bytes, threads: int, images: Floats) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        if threads > 1:
            # Else threads of one segment still wait for work while the next one computes.
            options.add_session_config_entry("session.force_spinning_stop", "1")
        self._session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        (source,) = self._session.get_inputs()
        if list(source.shape[1:]) != list(images.shape[1:]):
            raise ValueError(f"its input is of shape {source.shape[1:]} where {list(images.shape[1:])} comes in")
        self._kept = images
        self._binding.bind_input(source.name, "cpu", 0, np.float32, images.shape, images.ctypes.data)
        self.outputs: dict[str, Floats] = {}
        for value in self._session.get_outputs():
            array = np.empty((1, *value.shape[1:]), np.float32)
            self._binding.bind_output(value.name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
            self.outputs[value.name] = array
        self._logits_K: Floats = array[0]

    def run(self) -> Floats:
        """Its last output, the scores of its exit; they stand until the next run."""
        self._session.run_with_iobinding(self._binding)
        return self._logits_K


def choose(
    points: Sequence[Point],
    *,
    point: int | None = None,
    max_latency_ms: float | None = None,
    precision: str | None = None,
) -> Point:
    """The operating point of a number, or the most accurate one within bounds; raises ValueError if there is none."""
    if point is not None:
        if not 0 <= point < len(points):
            raise ValueError(f"a point must be from 0 to {len(points) - 1}, but got {point}: see --list.")
        points = [points[point]]
    fitting = [one for one in points if precision in (None, one.files, one.files.split()[-1])]
    if not fitting:
        known = ", ".join(sorted({one.files for one in points}))
        raise ValueError(f"there must be a point in {precision}, but there is {known} alone.")
    if max_latency_ms is not None:
        within = [one for one in fitting if one.latency_ms <= max_latency_ms]
        if not within:
            least = f"{min(one.latency_ms for one in fitting):.4g}, the least expected"
            raise ValueError(f"`max_latency_ms` must be at least {least}, but is {max_latency_ms:g}.")
        fitting = within
    return min(fitting, key=lambda one: (one.error, one.latency_ms, one.number))


def read_description(folder: Path) -> AdaptiveDescription:
    """What adaptive.json says, once it is known to be whole.

    Raises:
        ValueError: if it is missing or damaged, in one line.
    """
    path = folder / "adaptive.json"
    try:
        content = json.loads(_bytes_of(path, MOST_JSON_BYTES).decode())
    except (ValueError, RecursionError) as error:
        if isinstance(error, _FileError):
            raise
        raise ValueError(f"{path} must be JSON, but is not: {_line(error)}. {COPY_AGAIN}") from None
    if not isinstance(content, dict) or content.get("form") != FORM:
        found = content.get("form") if isinstance(content, dict) else None
        raise ValueError(f"{path} must be of form {FORM}, but is of {_line(found)}: use the run.py that came with it.")
    seal = content.pop("seal", None)
    plain = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    if seal is not None and seal != f"sha256-{hashlib.sha256(plain).hexdigest()}":
        raise ValueError(f"{path} must match its `seal`, but does not: it is damaged, or was changed. {COPY_AGAIN}")
    try:
        return _described(content)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else _line(error)
        raise ValueError(f"{path} must be as it was written, but is not: {reason}. {COPY_AGAIN}") from None


def _described(content: dict[str, Any]) -> AdaptiveDescription:
    about, ways = content["input"], len(content["exits"]) + 1
    points = tuple(_point(number, one, ways) for number, one in enumerate(_list(content["points"])))
    digests = {
        str(name): tuple(str(file["sha256"]) for file in _list(files)) for name, files in content["files"].items()
    }
    if not points or any(len(digests[point.files]) != ways for point in points):
        raise ValueError("it must have points, and a file for each segment")
    mean, std = (np.array([_number(value) for value in _list(about[name])], np.float32) for name in ("mean", "std"))
    size, padding = about["size"], tuple(_list(about["padding"]))
    if not (mean.shape == std.shape == (3,) and (std > 0).all() and isinstance(size, int) and 0 < size <= 4096):
        raise ValueError("its input must have a size, a mean and a deviation of each of three channels")
    if about["resize"] not in ("crop", "pad", "stretch") or not all(value in range(256) for value in padding):
        raise ValueError("pictures must be made square by crop, pad or stretch, with a colour")
    classes = tuple(_line(name) for name in _list(content["classes"]))
    if len(classes) < 2:
        raise ValueError("it must have classes")
    low, high = (_number(level) for level in about.get("depth") or (0.0, 0.0))
    depth, upright = (low, high) if low < high else None, about["rules"] != 1
    return AdaptiveDescription(points, classes, size, mean, std, about["resize"], upright, padding, digests, depth)


def _point(number: int, content: dict[str, Any], ways: int) -> Point:
    configuration = content["configuration"]
    threads, mhz = configuration["threads"], configuration["frequency_mhz"]
    thresholds = tuple(_number(value) for value in _list(content["thresholds"]))
    shares = tuple(_number(value) for value in _list(content["exit_shares"]))
    if (len(thresholds), len(shares)) != (ways - 1, ways) or not all(0 <= value <= 1 for value in thresholds):
        raise ValueError(f"point {number} must have a threshold in [0, 1] for each of {ways - 1} exits")
    if not isinstance(threads, int) or not 1 <= threads <= 1024 or not isinstance(mhz, (int, type(None))):
        raise ValueError(f"point {number} must have threads and a clock in whole numbers")
    return Point(
        number=number,
        label=_line(configuration["label"]),
        precision=_line(configuration["precision"]),
        files=files_of(_line(configuration["runtime"]), _line(configuration["precision"])),
        threads=threads,
        frequency_mhz=mhz,
        thresholds=thresholds,
        error=_number(content["error"]),
        latency_ms=_number(content["latency_ms"]),
        worst_latency_ms=_number(content["worst_latency_ms"]),
        latency_source=_line(content["latency_source"]),
        energy_mj=_number(content["energy_mj"]),
        energy_source=_line(content["energy_source"]),
        exit_shares=shares,
    )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e30:
        raise ValueError(f"a number must stand where {_line(value)!r} does")
    return float(value)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"a list must stand where {_line(value)!r} does")
    return value


def _load(folder: Path, digests: Sequence[str], files: str, threads: int, images: Floats) -> list[Any]:
    of_litert = files.startswith("litert ")
    name, package = ("LiteRT", "ai-edge-litert") if of_litert else ("ONNX Runtime", "onnxruntime")
    if importlib.util.find_spec("ai_edge_litert" if of_litert else "onnxruntime") is None:
        raise ValueError(f"{name} must be installed for `{files}`, but is not: pip install {package}.")
    kind = (
        runpy.run_path(str(Path(__file__).with_name("run_litert.py")))["LiteRtSegment"] if of_litert else BoundSegment
    )
    segments: list[Any] = []
    for number, digest in enumerate(digests, 1):
        # Names are not taken from the file, which could name any other.
        path = folder / segment_name(number, files)
        model = _bytes_of(path, MOST_FILE_BYTES)
        if hashlib.sha256(model).hexdigest() != digest:
            reason = "must be the segment that adaptive.json was written with, but is another one or damaged."
            raise ValueError(f"{path} {reason} {COPY_AGAIN}")
        try:
            segments.append(kind(model, threads, segments[-1].outputs["maps"] if segments else images))
        except Exception as error:  # of a file that it cannot run, a runtime raises whatever comes of it
            raise ValueError(f"{path} must run with {name}, but: {_line(error)}.") from None
    return segments


def files_of(runtime: str, precision: str) -> str:
    """Name of the files of a configuration: the precision, after `litert` under that."""
    return f"litert {precision}" if runtime == "litert" else precision


def segment_name(number: int, files: str) -> str:
    """File of a segment, counted from 1, of files of that name."""
    ending = "tflite" if files.startswith("litert ") else "onnx"
    return f"segment_{number}{'_int8' if files.endswith('int8') else ''}.{ending}"


class _FileError(ValueError):
    """A file that is missing or cannot be read."""


def _bytes_of(path: Path, most: int) -> bytes:
    try:
        # Without waiting: a pipe would never answer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise _FileError(f"{path} must be a file, but is none. {COPY_AGAIN}")
            content = file.read(most + 1)
    except FileNotFoundError:
        raise _FileError(f"{path} must be there, but is missing. {COPY_AGAIN}") from None
    except OSError as error:
        raise _FileError(f"{path} must be readable, but is not: {error.strerror}. {COPY_AGAIN}") from None
    if len(content) > most:
        raise _FileError(f"{path} must have at most {most // 2**20} MiB, but has more. {COPY_AGAIN}")
    return content


def _pillow(purpose: str) -> Any:
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        raise ValueError(f"Pillow must be installed to {purpose}, but is not: pip install pillow.") from None
    return PIL


def _line(value: object) -> str:
    """A text as one line that does a terminal no harm."""
    text = " ".join(str(value).split())
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:300]


def _images(network: AdaptiveNetwork, path: str) -> list[Pixels]:
    """The picture, or the array's image or images, of a file."""
    if not path.endswith(".npy"):
        return [network.open_photo(path)]
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"images must be an array of NumPy, but {path!r} is not: {_line(error)}.") from None
    return list(array) if array.ndim == 4 else [array]


def main(arguments: Sequence[str] | None = None) -> int:
    """Classify the files of the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Classify images with a network that stops early where it is sure.")
    parser.add_argument("images", nargs="*", help="photos, or .npy files of uint8 images (height, width, 3)")
    parser.add_argument("--point", type=int, help="number of the operating point, see --list")
    parser.add_argument("--max-latency-ms", type=float, help="most accurate point whose expected latency is no longer")
    parser.add_argument("--precision", help="fp32 or int8, or `litert fp32`, ...; by default that of the point")
    parser.add_argument("--threads", type=int, help="by default those that the point was judged with")
    parser.add_argument("--list", action="store_true", help="list the operating points")
    options = parser.parse_args(arguments)
    if not options.images and not options.list:
        parser.error("give a photo, or --list")
    if options.point is not None and options.max_latency_ms is not None:
        parser.error("give --point or --max-latency-ms, not both")
    try:
        folder = Path(__file__).parent
        if options.list:
            for point in read_description(folder).points:
                print(point.line)
        if not options.images:
            return 0
        wanted = {name: getattr(options, name) for name in ("point", "max_latency_ms", "precision", "threads")}
        network = AdaptiveNetwork(folder, **wanted)
        for path in options.images:
            for image in _images(network, path):
                network.prepare(image)
                start = time.perf_counter()
                answer = network.answer()
                spent_ms = 1000 * (time.perf_counter() - start)
                left = f"exit {answer.exit} of {len(network.point.thresholds) + 1}"
                print(f"{_line(path)}: {answer.class_name} {answer.confidence:.1%}, {left}, {spent_ms:.3g} ms")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
