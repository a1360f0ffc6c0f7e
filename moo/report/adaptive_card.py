"""card.md of a network with early exits: all that someone needs who deploys it. Start with `adaptive_card`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from devices.configuration import RuntimeConfiguration
from evaluation.early_exits.files import ExportedSegments
from moo.analysis.errors import ToldError, chosen_by_note, on_selection_split, on_test_split
from moo.formatting import cost, energy_error_note, error_text, percent, short, table
from moo.report.card import class_names, dataset_text, figures
from moo.report.selected import ENERGIES
from moo.report.snippets import how_square, photo_packages
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.origin import SearchDataset
from search_space.boundary.text import code, markdown
from search_space.counts import count
from search_space.exits import head_graph
from search_space.onnx_files import INPUT_NAME
from search_space.segments import LOGITS_NAME, MAPS_NAME, PREVIOUS_NAME
from search_space.spaces import FBNetSpace


def adaptive_card(
    points: Sequence[AdaptivePoint],
    exported: Sequence[ExportedSegments],
    data: SearchDataset,
    space: FBNetSpace,
    *,
    dataset: str | None = None,
) -> str:
    """The text of card.md.

    Args:
        points: of one network with one choice of exits, at least one, as `run.py` numbers them.
        exported: its segments.
        data: the images of the run.
        space: that was searched.
        dataset: how the user named the data set; None where that is not known.
    """
    first, size = points[0], space.input_size
    named = f" of {dataset_text(dataset)}" if dataset else ""
    told, latency = _told(first, data), cost(first.latency_ms, "ms", first.latency_source)
    trained = (
        "trained on together with its exits" if first.jointly_trained else "whose exits were trained for it as it was"
    )
    layers = "\n".join(f"{number}. `{name}`" for number, name in enumerate(first.architecture.operators, 1))
    leaves = "its exit" if len(first.exits) == 1 else f"one of {len(first.exits)} exits"
    return f"""# {markdown(first.id)} with early exits

An image classifier for {len(data.classes)} classes{named}, a network of the space {code(space.name)}, found by a Pareto
search and {trained}. It stops early, at {leaves}, where it is sure.

**Accuracy {told.accuracy_text} on {told.images} images of the {told.split} split; expected latency {latency} with
{first.configuration.label}, at operating point 0.** In parentheses stands the 95 % interval, which so many images leave
open.

## Run it

On the board, in this folder, with a `photo.jpg` of any size; it needs {_packages(points)}
(Pillow for photos alone):

```bash
python run.py photo.jpg
python run.py --list
python run.py photo.jpg --max-latency-ms {short(min(point.latency_ms for point in points) * 1.01)}
```

In a program, with `run.py` beside it:

```python
from run import AdaptiveNetwork

network = AdaptiveNetwork(".", point=0)
answer = network.classify(image)  # uint8, shape (height, width, 3), red first
print(answer.class_name, answer.confidence, answer.exit)
```

`network.use(1)` changes to another operating point of the same threads and files while it runs; nothing is loaded.

## Operating points

{_points(points, data)}

An image leaves at the first exit whose confidence, the largest softmax of its scores, exceeds the threshold; 0 always
leaves, 1 never. Expected costs are the shares of images of the selection split that take each way times what each way
costs; other images may share out differently. The worst case is the longest way that an image can take.
{_notes(points, data)}

## Ways through it

{_ways(first, space)}

## Input and output

{how_square(data.resize, size)}
Input `{INPUT_NAME}` of the first segment: float32, shape (1, 3, {size}, {size}), RGB, pixels in
[0, 1], then minus {figures(data.mean)} and divided by {figures(data.std)} for each channel.{_in_litert(points, size)}
Input `{PREVIOUS_NAME}` of each later one: the output `{MAPS_NAME}` of the one before.
Output `{LOGITS_NAME}` of each: one score a class, in this order: {class_names(data)}.

## Files

{_files(exported, data)}

`adaptive.json` has the digest of each segment, and all of the above for programs; `run.py` refuses files that do not
belong together.

## Layers

{layers}
"""


def _packages(points: Sequence[AdaptivePoint]) -> str:
    """What the points need, by runtime: a board needs that of the runtime that it uses."""
    runtimes = sorted({point.configuration.runtime for point in points}, reverse=True)
    needed = [code(photo_packages(RuntimeConfiguration(runtime=runtime))) for runtime in runtimes]
    return needed[0] if len(needed) == 1 else f"{needed[0]} for points of `ort`, and {needed[1]} for those of `litert`"


def _in_litert(points: Sequence[AdaptivePoint], size: int) -> str:
    if all(point.configuration.runtime == "ort" for point in points):
        return ""
    return f"\nSegments for LiteRT (`segment_1.tflite`, ...) have channels last: (1, {size}, {size}, 3)."


def _told(point: AdaptivePoint, data: SearchDataset) -> ToldError:
    """The error to believe: on the test split where that was read, else where thresholds were chosen."""
    if point.test_error is not None:
        return on_test_split(point.test_error, data)
    return on_selection_split(point.error, data)


def _points(points: Sequence[AdaptivePoint], data: SearchDataset) -> str:
    names = ("point", "configuration", "thresholds", "leave at each exit, and pass all", "error, selection split")
    costs = (
        "error, test split",
        "expected latency",
        "worst latency",
        f"expected energy {ENERGIES[points[0].energy_kind]}",
    )
    rows = [
        (
            str(number),
            point.configuration.label,
            ", ".join(f"{threshold:.4g}" for threshold in point.thresholds),
            ", ".join(percent(share) for share in point.exit_shares),
            on_selection_split(point.error, data).text,
            "not read" if point.test_error is None else on_test_split(point.test_error, data).text,
            cost(point.latency_ms, "ms", point.latency_source),
            cost(point.worst_latency_ms, "ms", point.latency_source),
            f"{short(point.energy_mj)} mJ ({point.energy_source}{error_text([point.energy_error])})",
        )
        for number, point in enumerate(points)
    ]
    return table((*names, *costs), rows)


def _notes(points: Sequence[AdaptivePoint], data: SearchDataset) -> str:
    told = {_told(point, data).split for point in points}
    streamed = [
        f"Point {number} was run on the board with {point.streamed.images} images, one after the other: "
        f"{short(point.streamed.mean_latency_ms)} ms each (measured, the mean of each image's least time), where the "
        f"costs of its ways come to {short(point.streamed.expected_latency_ms)} ms."
        for number, point in enumerate(points)
        if point.streamed is not None
    ]
    modelled = energy_error_note(point.energy_error for point in points if point.energy_source == "modelled")
    return "\n".join(["", chosen_by_note(sorted(told)), *([modelled] if modelled else []), *streamed]).rstrip()


def _ways(point: AdaptivePoint, space: FBNetSpace) -> str:
    names = ("exit", "place", "head", "multiply-accumulates of the head", "parameters of the segment", "latency")
    return table(names, _way_rows(point, space)) + f"\n\nCosts are those of `{point.configuration.label}`."


def _way_rows(point: AdaptivePoint, space: FBNetSpace) -> Iterator[tuple[str, ...]]:
    number = len(point.architecture.operators)
    latencies = [cost(value, "ms", point.latency_source) for value in point.path_latency_ms]
    for place, one in enumerate(point.exits):
        macs = f"{count(head_graph(space, one)).macs:,}"
        params = f"{point.segment_params[place]:,}"
        yield str(place + 1), f"after layer {one.layer + 1} of {number}", one.head, macs, params, latencies[place]
    last = len(point.exits)
    yield str(last + 1), "the whole network", "its own", "", f"{point.segment_params[last]:,}", latencies[last]


def _files(exported: Sequence[ExportedSegments], data: SearchDataset) -> str:
    names = ("precision", "segments", "size", "largest difference of logits", "error of passing all, selection split")
    rows = [
        (
            one.precision,
            f"{len(one.models)}",
            f"{sum(map(len, one.models)) / 1e6:.3g} MB",
            short(one.logits_difference),
            on_selection_split(one.outcomes.static_error, data).text,
        )
        for one in exported
    ]
    return (
        table(names, rows)
        + "\n\nLogits of all exits are compared with those of the PyTorch network, over images of the selection split."
    )
