"""card.md: all that someone needs who deploys one network. Start with `front_card` or `baseline_card`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from devices.configuration import BASE, Precision, RuntimeConfiguration
from devices.cost_tables.energy_objective import EnergyObjective
from devices.measurement import Measurement
from dnas.losses import Coefficients
from evaluation.data.facts import numbers_text, used_text
from evaluation.data.wording import depth_text
from evaluation.dataset_origin import hub_link, hub_name
from evaluation.errors import ACCURACY_NAMES, ERROR_NAMES, GUESSES
from evaluation.pretrained.provenance import Pretrained
from moo.analysis.errors import INTERVALS, ToldError, chosen_by_note, on_selection_split, on_test_split, told_error
from moo.analysis.networks import file_costs
from moo.analysis.recipes import how_trained
from moo.formatting import cost, error_text, percent, short, table
from moo.report.snippets import CAMERA_PACKAGES, camera_snippet, how_square, photo_packages, photo_snippet
from moo.storage.archive import Archive, Costs, Entry, OperatingPoint
from moo.storage.origin import SearchDataset
from moo.storage.run_folder import file_name_for
from moo.storage.trained_network import DeployedFile, TrainedNetwork
from search_space.boundary.text import code, markdown
from search_space.clients import wrong_clients
from search_space.counts import count
from search_space.graphs import Conv, Graph, Linear, Node
from search_space.onnx_files import INPUT_NAME
from search_space.spaces import FBNetSpace

LONGEST_CLASS = 80
"""Characters of a class's name that a card shows."""


@dataclass(frozen=True)
class Inherited:
    """What a network was worth with the supernet's weights, before any training of its own."""

    error: float
    """Error on the selection split, in [0, 1]."""
    test_error: float | None
    """Error on the test split; None where it was not read."""
    coefficients: Coefficients | None
    """Loss coefficients whose inner search gave the network; None where none did."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """What a card says of a network; its files lie beside it."""

    name: str
    kind: str
    """What it is, as the end of a sentence that begins with "An image classifier"."""
    graph: Graph | None
    """None where it is none of this project's."""
    layers: tuple[str, ...]
    """A line each, in Markdown."""
    costs: Costs | None
    """None where nothing is known."""
    measurement: Measurement | None
    """Where the costs come from; None if they are not measured."""
    precision: Precision
    """What it is deployed in: costs, and accuracy after training, are those of the file in it."""
    inherited: Inherited | None = None
    trained: TrainedNetwork | None = None
    configuration: RuntimeConfiguration = BASE
    """That the costs are of, and that the snippet runs it in."""
    points: tuple[OperatingPoint, ...] = ()
    """Its operating points on the front, the fastest first; none of a network that is on no front."""
    energy: EnergyObjective = field(default_factory=EnergyObjective)
    """The energy that the run minimised."""

    @property
    def pretrained(self) -> Pretrained | None:
        """Where its first weights are from, if others have trained it before."""
        return None if self.trained is None else self.trained.pretrained

    @property
    def input_size(self) -> int:
        """Height and width of its images in pixels."""
        if self.pretrained is not None:
            return self.pretrained.input_size
        assert self.graph is not None, "a network that was not pre-trained is a graph"
        return self.graph.input_shape[1]


def front_card(entry: Entry, archive: Archive, space: FBNetSpace) -> Card:
    """The card of a network that a search has found.

    Args:
        entry: of the archive.
        archive: of the run; says what the network costs, and in which precision.
        space: that was searched.
    """
    own = sorted(
        (point for point in archive.front() if point.id == entry.architecture.id),
        key=lambda point: point.costs.latency_ms,
    )
    main = min(own, key=lambda point: point.objectives, default=None)
    configuration = archive.base if main is None else main.configuration
    return Card(
        name=entry.architecture.id,
        kind=f"of the space {code(space.name)}, found by a Pareto search",
        graph=space.graph(entry.architecture.operators),
        layers=tuple(f"`{name}`" for name in entry.architecture.operators),
        costs=archive.searched_costs(entry, configuration) if main is None else main.costs,
        measurement=entry.measured_in(configuration) if main is None else main.measurement,
        precision=configuration.precision,
        inherited=Inherited(entry.error, entry.test_error, entry.coefficients),
        trained=entry.trained,
        configuration=configuration,
        points=tuple(own),
        energy=archive.energy,
    )


def baseline_card(network: TrainedNetwork, graph: Graph | None, archive: Archive) -> Card:
    """The card of a published network that was trained for comparison.

    Args:
        network: as it was trained.
        graph: of this network, if it is one of this project's.
        archive: of the run; says in which configuration it was measured.
    """
    precision = archive.base.precision
    file = network.file(precision)
    return Card(
        name=network.name,
        kind=f"of a published architecture, {code(network.name)}, to compare a front with",
        graph=graph,
        layers=tuple(
            _layer(node)
            for node in (() if graph is None else graph.nodes)
            if isinstance(node.operation, (Conv, Linear))
        ),
        costs=file_costs(network, precision, archive.energy),
        measurement=None if file is None else file.measurement,
        precision=precision,
        trained=network,
        configuration=archive.base,
        energy=archive.energy,
    )


def card_markdown(card: Card, data: SearchDataset, *, dataset: str | None = None) -> str:
    """The text of card.md.

    Args:
        card: what it says of the network.
        data: the images of the run.
        dataset: how the user named the data set; None where that is not known.
    """
    size, packages = card.input_size, photo_packages(card.configuration)
    if card.pretrained is not None:
        data = replace(data, mean=card.pretrained.mean, std=card.pretrained.std)
    layers = "\n".join(f"{number}. {line}" for number, line in enumerate(card.layers, start=1))
    return f"""# {markdown(card.name)}

{_first_lines(card, data, dataset)}

## Run it

On the board, in this folder, with a `photo.jpg` of any size; it needs `{packages}`. Save it as `classify.py`:

```python
{photo_snippet(data, size=size, configuration=card.configuration)}
```

What a camera of a Raspberry Pi sees, with `classify.py` beside it; it also needs `{CAMERA_PACKAGES}` (in a virtual
environment: one made with `--system-site-packages`):

```python
{camera_snippet()}
```

## Facts

{table(("", ""), _facts(card, data, dataset))}

{chosen_by_note([_told(card, data).split])}

## Input and output

{how_square(data.resize, size)}
Input `{INPUT_NAME}`: float32, shape (1, 3, {size}, {size}), RGB, pixels in
[0, 1], then minus {figures(data.mean)} and divided by {figures(data.std)} for each channel.
Output `logits`: one score a class, in this order: {class_names(data)}.
The files hold these facts themselves, as JSON in their metadata (`session.get_modelmeta().custom_metadata_map`).
{_warnings(card)}
{_points(card, data)}
## Files

{_files(card.trained, card.points, data)}

## Layers

{layers or "Those of timm's network."}
"""


def _warnings(card: Card) -> str:
    """Of programs that compute the network wrongly, or do not open its files."""
    sentences = () if card.graph is None else wrong_clients(card.graph)
    in_int8 = any(point.configuration.precision == "int8" for point in card.points)
    if in_int8 or (card.trained is not None and card.trained.file("int8") is not None):
        sentences += (
            "`model_int8.onnx` is not for OpenCV 5.0's default engine, which refuses it, nor for onnx2tf 1.29.",
        )
    return "".join(f"\n{sentence}\n" for sentence in sentences)


def class_names(data: SearchDataset) -> str:
    """Names of the classes in the order of the logits, as Markdown."""
    return ", ".join(markdown(name, most=LONGEST_CLASS) for name in data.classes)


def dataset_text(dataset: str) -> str:
    """A data set by its name, with a link to its page where it is on the hub."""
    name = hub_name(dataset)
    return code(dataset) if name is None else f"[{code(name)}]({hub_link(name)})"


def _first_lines(card: Card, data: SearchDataset, dataset: str | None) -> str:
    """What it is, how accurate, how fast."""
    named = f" of {code(dataset)}" if dataset else ""
    told, costs = _told(card, data), card.costs
    name = ACCURACY_NAMES[told.kind].capitalize()
    accuracy = f"{name} {told.accuracy_text} on {told.images} images of the {told.split} split"
    if told.beats_guessing is False:
        accuracy += f", which is not better than {GUESSES[told.kind]}"
    latency = "latency not measured"
    if costs is not None:
        latency = f"latency {cost(costs.latency_ms, 'ms', costs.latency_source)} with {card.configuration.label}"
    return (
        f"An image classifier for {len(data.classes)} classes{named}, {card.kind}, {_weights(card.trained)}.\n\n"
        f"**{accuracy}; {latency}.** {INTERVALS[told.kind]}"
    )


def _told(card: Card, data: SearchDataset) -> ToldError:
    """The error to believe: of the file on the test split, or of inherited weights where that was read."""
    if card.trained is not None:
        return on_test_split(1 - _own_file(card, card.trained).top1, data)
    assert card.inherited is not None, "a network has inherited weights or was trained"
    main = min(card.points, key=lambda point: point.objectives, default=None)
    if main is not None:
        return told_error(main, data)
    if card.inherited.test_error is not None:
        return on_test_split(card.inherited.test_error, data)
    return on_selection_split(card.inherited.error, data)


def _points(card: Card, data: SearchDataset) -> str:
    """The network's operating points on the front, as a section; nothing where there is one at most."""
    if len(card.points) < 2:
        return ""
    other = "energy with idle power" if card.energy.kind == "net" else "energy above idle"
    head = ("configuration", "file", f"{ERROR_NAMES[data.error]}, selection split", "latency", card.energy.label, other)
    rows = [
        (
            point.configuration.label,
            f"`{file_name_for(point.configuration)}`",
            on_selection_split(point.error, data).text,
            f"{short(point.costs.latency_ms)} ms ({point.costs.latency_source})",
            f"{short(point.costs.energy_mj)} mJ ({point.costs.energy_source}{error_text([point.costs.energy_error])})",
            _other_energy(card, point.costs),
        )
        for point in card.points
    ]
    return f"""
## Operating points

{table(head, rows)}

Set the threads of a point where the code above sets `intra_op_num_threads`, and take its file; the facts above are
those of `{card.configuration.label}`.
"""


def _other_energy(card: Card, costs: Costs) -> str:
    other = costs.gross_mj if card.energy.kind == "net" else costs.net_mj
    return "not known" if other is None else f"{short(other)} mJ ({costs.energy_source})"


def _weights(trained: TrainedNetwork | None) -> str:
    if trained is None:
        return "with weights inherited from the supernet (not retrained)"
    if trained.pretrained is not None:
        return markdown(how_trained(trained))
    start = "fine-tuned from weights inherited from the supernet" if trained.fine_tuned else "trained from scratch"
    return f"{start} for {trained.epochs:.3g} epochs ({trained.seconds:.0f} s)"


def _facts(card: Card, data: SearchDataset, dataset: str | None) -> list[tuple[str, str]]:
    named = [dataset_text(dataset)] if dataset else []
    named += [f"{len(data.classes)} classes", f"fingerprint {markdown(data.fingerprint)}"]
    if card.graph is not None:
        counts = count(card.graph)
        macs, params = counts.macs, counts.params
    else:
        assert card.trained is not None, "a network of others was trained"
        macs, params = card.trained.macs, card.trained.params
    return [
        ("data set", ", ".join(named)),
        *_images(data),
        *_accuracy(card, data),
        *_costs(card),
        ("multiply-accumulates", f"{macs:,}"),
        ("parameters", f"{params:,}"),
        *_coefficients(card.inherited),
    ]


def _images(data: SearchDataset) -> list[tuple[str, str]]:
    """Which images it was trained and tested on."""
    facts = data.facts
    rows = []
    if facts is not None:
        used = used_text(facts, test_images=data.images.test, omitted=data.omitted)
        rows += [
            ("images", markdown(used, most=600)),
            ("of each class", markdown(numbers_text(facts, data.classes), most=900)),
        ]
        rows += [("warning", markdown(text)) for text in facts.warnings]
    if data.depth is not None:
        rows.append(("depth", depth_text(data.depth)))
    return rows


def _own_file(card: Card, trained: TrainedNetwork) -> DeployedFile:
    """The file that the card is of, with the errors of what its runtime reads."""
    return trained.file_for(replace(card.configuration, precision=card.precision))


def _accuracy(card: Card, data: SearchDataset) -> list[tuple[str, str]]:
    rows, suffix = [], ""
    name, prefix = ERROR_NAMES[data.error], "balanced " * (data.error == "balanced")
    selection, test = f"{data.images.selection} images", f"{data.images.test} images"
    if card.trained is not None:
        file = _own_file(card, card.trained)
        what = f"{'LiteRT ' * (card.configuration.runtime == 'litert')}{card.precision} file"
        rows += [
            (f"{name} of the {what}, selection split", f"{_error(file.error, data)}, {selection}"),
            (f"{prefix}top-1 accuracy of the {what}, test split", f"{_top(file.top1, data)}, {test}"),
            (f"{prefix}top-3 accuracy by PyTorch (fp32), test split", f"{_top(card.trained.top3, data)}, {test}"),
        ]
        suffix = ", inherited weights"
    if card.inherited is not None:
        test_error = card.inherited.test_error
        read = "not read" if test_error is None else on_test_split(test_error, data).text
        rows += [
            (f"{name}, selection split{suffix}", f"{_error(card.inherited.error, data)}, {selection}"),
            (f"{name}, test split{suffix}", f"{read}, {test}"),
        ]
    if data.test_guessing_error is not None:
        rows.append((f"{name} of {GUESSES[data.error]}, test split", percent(data.test_guessing_error)))
    return rows


def _error(error: float, data: SearchDataset) -> str:
    return on_selection_split(error, data).text


def _top(accuracy: float, data: SearchDataset) -> str:
    return on_test_split(1 - accuracy, data).accuracy_text


def _costs(card: Card) -> list[tuple[str, str]]:
    costs, m = card.costs, card.measurement
    if costs is None:
        return [("latency", "not measured"), ("energy", "not measured")]
    rows = [
        ("latency", f"{costs.latency_ms:.4f} ms ({costs.latency_source}; 5th percentile of single inferences)"),
        (card.energy.label, f"{costs.energy_mj:.4f} mJ ({costs.energy_source}{error_text([costs.energy_error])})"),
        ("conditions", "not measured" if m is None else _conditions(m)),
    ]
    if m is not None:
        rows.append(("precision, clock", f"{m.precision}, {_clock(m)}"))
        rows += [("why energy is not measured", markdown(m.energy_note))] if m.energy_note else []
    return rows


def _coefficients(inherited: Inherited | None) -> list[tuple[str, str]]:
    if inherited is None or inherited.coefficients is None:
        return []
    c = inherited.coefficients
    values = (("alpha", c.alpha), ("beta", c.beta), ("gamma", c.gamma), ("delta", c.delta))
    return [("found with", ", ".join(f"{name} {short(value)}" for name, value in values))]


def _files(trained: TrainedNetwork | None, points: Sequence[OperatingPoint], data: SearchDataset) -> str:
    names = ("precision", "file", "largest difference of logits", "top-1, test split", "latency", "energy above idle")
    if trained is None:
        files = "`model.onnx` computes in fp32. It was not checked against PyTorch by itself."
        if any(point.configuration.precision == "int8" for point in points):
            files += (
                " `model_int8.onnx` computes in int8; it is the file whose error in int8 was evaluated, calibrated "
                "with images of the selection split."
            )
        return files + _litert_files(trained, points, data)
    rows = [_file_row(file, data) for file in trained.files]
    notes = [f"- {file.precision}: {_file_conditions(m)}" for file in trained.files if (m := file.measurement)]
    note = (
        "Logits are compared with those of the PyTorch network, over images of the selection split; accuracy is that "
        "of the very file, by ONNX Runtime on the training machine."
    )
    note += _litert_files(trained, points, data)
    return "\n\n".join([table(names, rows), note, *(["Measured on:\n\n" + "\n".join(notes)] if notes else [])])


def _litert_files(trained: TrainedNetwork | None, points: Sequence[OperatingPoint], data: SearchDataset) -> str:
    """What is said of LiteRT files, where there are points that they run in."""
    files = {}
    for one in (point.configuration for point in points if point.configuration.runtime == "litert"):
        file = None if trained is None else trained.file(one.precision)
        top1 = None if file is None else file.litert_top1
        known = "error as of the ONNX file" if top1 is None else f"top-1 by LiteRT {_top(top1, data)}"
        files[file_name_for(one)] = f"{code(file_name_for(one))} ({known})"
    return f" For LiteRT, with an input in NHWC: {' and '.join(files.values())}." if files else ""


def _file_row(file: DeployedFile, data: SearchDataset) -> tuple[str, ...]:
    m, name = file.measurement, PurePosixPath(file.path).name
    latency = "not measured" if m is None else f"{short(m.latency_ms)} ms ({m.latency_source})"
    energy = "not measured" if m is None else f"{short(m.energy_mj)} mJ ({m.energy_source})"
    return file.precision, code(name), short(file.logits_difference), _top(file.top1, data), latency, energy


def _file_conditions(measurement: Measurement) -> str:
    return f"{_conditions(measurement)}, {_clock(measurement)}"


def _conditions(m: Measurement) -> str:
    spread = "" if m.reliable else "; times spread widely or the board slowed down: measure again"
    return (
        f"{markdown(m.board)}, {markdown(m.runtime)}, {m.threads} thread(s), {m.runs} runs, {markdown(m.date)}{spread}"
    )


def _clock(m: Measurement) -> str:
    return "clock left to the board" if m.frequency_mhz is None else f"{m.frequency_mhz} MHz"


def _layer(node: Node) -> str:
    output = " x ".join(str(side) for side in node.shape)
    match node.operation:
        case Conv(kernel=kernel, stride=stride, groups=groups):
            details = [f"{kernel}x{kernel} convolution"]
            details += [f"stride {stride}"] if stride > 1 else []
            details += [f"{groups} groups"] if groups > 1 else []
            return f"`{node.name}`: {', '.join(details)}, to {output}"
        case _:
            return f"`{node.name}`: linear, to {node.shape[0]}"


def figures(values: Sequence[float]) -> str:
    """A figure for each channel: `(0.4914, 0.4822, 0.4465)`."""
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"
