"""The FBNet family of search spaces, and the interface that every space has.

A space turns one operator a layer into a `Graph`. Presets are YAML files in `presets/`; a user's own space
is a file of the same form (`docs/search_spaces.md`). Start with `space_named`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any, Protocol

from search_space.boundary.reading import local_path, read_yaml
from search_space.boundary.text import one_line, shown
from search_space.graphs import Add, Graph, GraphBuilder, Shape, Shuffle
from search_space.operators import OPERATOR_NAMES, Operator, canonical_operator, operator_named
from search_space.published import published_named

PRESET_FOLDER = Path(__file__).parent / "presets"
CELL_SPACE = "nas-bench-201"
"""The one preset that is not of the FBNet family (`nas_bench_201.py`)."""
LONGEST_NAME = 100
"""Characters of a space's name."""
LARGEST_SIZE = 1024
"""Height and width in pixels that images may have at most."""
MOST_LAYERS = 200
"""Searchable layers; published spaces have 22."""
_MOST = {
    "input_size": LARGEST_SIZE,
    "classes": 100_000,
    "stem_channels": 4096,
    "channels": 4096,
    "last_channels": 16_384,
    "layers": MOST_LAYERS,
}
"""What a space may have at most, so that nobody's file asks for more than machines have."""


class SearchSpace(Protocol):
    """What every space offers."""

    @property
    def name(self) -> str:
        """Name of the space."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """All operators of the space's family; an architecture's id is made of indices into it."""

    @property
    def operators(self) -> tuple[str, ...]:
        """Candidate operators of every layer: the vocabulary or a part of it, in the same order."""

    @property
    def num_layers(self) -> int:
        """Number of searchable layers."""

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of the input."""

    def graph(self, operators: tuple[str, ...]) -> Graph:
        """The network with these operators, one a layer."""


@dataclass(frozen=True)
class Layer:
    """Shape of one searchable layer."""

    in_channels: int
    out_channels: int
    stride: int
    size: int
    """Height and width of the input."""

    @property
    def keeps_shape(self) -> bool:
        """Whether input and output have one shape: then there is a residual and `skip` is free."""
        return self.stride == 1 and self.in_channels == self.out_channels

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of the input."""
        return (self.in_channels, self.size, self.size)


@dataclass(frozen=True)
class Stage:
    """Consecutive layers with one number of channels; the first has the stride."""

    channels: int
    layers: int
    stride: int

    def __post_init__(self) -> None:
        _check_positive(self.channels, "channels")
        _check_positive(self.layers, "layers")
        _check_stride(self.stride, "stride")
        if self.channels % 2:
            raise ValueError(f"`channels` must be even (two groups), but got {self.channels}.")


@dataclass(frozen=True, kw_only=True, slots=True)
class FBNetSpace:
    """Stem, searchable layers in stages, a last 1x1 convolution, pooling and a classifier.

    Source: Wu et al., "FBNet" (CVPR 2019), Tables 1 and 2.
    """

    name: str
    input_size: int
    """Height and width of the input."""
    classes: int
    stem_channels: int
    stem_stride: int
    stages: tuple[Stage, ...]
    last_channels: int
    """Channels of the last 1x1 convolution."""
    operators: tuple[str, ...] = OPERATOR_NAMES
    """Candidates of every layer, in the order of `OPERATORS`."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or one_line(self.name, most=LONGEST_NAME) != self.name:
            raise ValueError(
                f"`name` must be a line of 1 to {LONGEST_NAME} printable characters, but got {shown(self.name)}."
            )
        for name in ("input_size", "classes", "stem_channels", "last_channels"):
            _check_positive(getattr(self, name), name)
        _check_stride(self.stem_stride, "stem_stride")
        if self.stem_channels % 2:
            raise ValueError(f"`stem_channels` must be even (two groups), but got {self.stem_channels}.")
        if not self.stages:
            raise ValueError("`stages` must hold at least one stage, but is empty.")
        if len(self.stages) > MOST_LAYERS or self.num_layers > MOST_LAYERS:
            raise ValueError(f"`stages` must have at most {MOST_LAYERS} layers in all, but have {self.num_layers:,}.")
        for name in self.operators:
            operator_named(name)
        ordered = tuple(name for name in OPERATOR_NAMES if name in self.operators)
        if len(self.operators) < 2 or self.operators != ordered:
            raise ValueError(
                f"`operators` must be two or more of {', '.join(OPERATOR_NAMES)}, each once and in this order, "
                f"but got {', '.join(self.operators)}."
            )

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The nine FBNet operators."""
        return OPERATOR_NAMES

    @property
    def candidates(self) -> tuple[Operator, ...]:
        """The candidate operators themselves."""
        return tuple(operator_named(name) for name in self.operators)

    @property
    def input_shape(self) -> Shape:
        """Channels, height and width of the input; always RGB."""
        return (3, self.input_size, self.input_size)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Shapes of the searchable layers."""
        layers = []
        channels, size = self.stem_channels, -(-self.input_size // self.stem_stride)
        for stage in self.stages:
            for index in range(stage.layers):
                stride = stage.stride if index == 0 else 1
                layers.append(Layer(channels, stage.channels, stride, size))
                channels, size = stage.channels, -(-size // stride)
        return tuple(layers)

    @property
    def total_stride(self) -> int:
        """Pixels of the input for each pixel of the last map."""
        return self.stem_stride * prod(stage.stride for stage in self.stages)

    @property
    def num_layers(self) -> int:
        """Number of searchable layers."""
        return sum(stage.layers for stage in self.stages)

    @property
    def num_architectures(self) -> int:
        """Number of architectures in the space."""
        number: int = len(self.operators) ** self.num_layers
        return number

    def with_classes(self, classes: int) -> FBNetSpace:
        """The same space for another number of classes."""
        return replace(self, classes=classes)

    def graph(self, operators: tuple[str, ...]) -> Graph:
        """The network with these operators, one a layer."""
        builder = GraphBuilder(self.input_shape)
        x = add_stem(builder, self)
        for index, (layer, name) in enumerate(zip(self.layers, operators, strict=True)):
            x = add_block(builder, x, layer, operator_named(name), prefix=layer_prefix(index))
        add_head(builder, x, self)
        return builder.build()


def layer_prefix(index: int) -> str:
    """What the names of a searchable layer's nodes start with."""
    return f"layer{index:02d}_"


def add_stem(builder: GraphBuilder, space: FBNetSpace) -> str:
    """Add the first 3x3 convolution; returns its name."""
    return builder.conv("stem", Graph.INPUT, space.stem_channels, kernel=3, stride=space.stem_stride)


def add_block(builder: GraphBuilder, source: str, layer: Layer, operator: Operator, *, prefix: str) -> str:
    """Add one candidate block; returns the name of its output (`source` itself for an identity).

    Source: FBNet, Fig. 3; `skip` where the shape changes is a strided 1x1 convolution with BatchNorm and ReLU,
    as in the authors' code.
    """
    if operator.is_skip:
        if layer.keeps_shape:
            return source
        return builder.conv(f"{prefix}skip", source, layer.out_channels, stride=layer.stride)
    hidden = layer.in_channels * operator.expansion
    x = builder.conv(f"{prefix}expand", source, hidden, groups=operator.groups)
    if operator.groups > 1:
        x = builder.add(f"{prefix}shuffle", Shuffle(operator.groups), x)
    x = builder.conv(f"{prefix}depthwise", x, hidden, kernel=operator.kernel, stride=layer.stride, groups=hidden)
    x = builder.conv(f"{prefix}project", x, layer.out_channels, groups=operator.groups, relu=False)
    if layer.keeps_shape:
        x = builder.add(f"{prefix}add", Add(), x, source)
    return x


def add_head(builder: GraphBuilder, source: str, space: FBNetSpace) -> str:
    """Add the last 1x1 convolution, pooling and the classifier; returns the name of the logits."""
    x = builder.conv("last", source, space.last_channels)
    return builder.classifier(x, space.classes)


def preset_names() -> tuple[str, ...]:
    """Names of the presets, with that of the tabular cell space."""
    return (*sorted(path.stem for path in PRESET_FOLDER.glob("*.yaml")), CELL_SPACE)


def split_size(name_or_path: str) -> tuple[str, int | None]:
    """A space's name or path without its size, and the size: `fbnet-micro@96` is `fbnet-micro` at 96 pixels."""
    found = re.fullmatch(r"(.+)@([0-9]{1,9})", name_or_path, re.DOTALL)
    return (name_or_path, None) if found is None else (found[1], int(found[2]))


def space_named(name_or_path: str, *, published: str | None = None, size: int | None = None) -> FBNetSpace:
    """A space of the FBNet family: a preset by name, or a user's own from a YAML file.

    Args:
        name_or_path: a preset's name or a path that ends in `.yaml` or `.yml`; `@` and a number of pixels after it
            are the same as `size`.
        published: name of a published architecture; in the space that it was published for, its own head is used.
        size: height and width of the images in pixels, where they are not the space's own. The space is then named
            after its size, too, as in `fbnet-micro@96`: costs and architectures of one size are not those of another.

    Raises:
        ValueError: if there is no such preset or file, the file is no valid space, or the size does not fit it.
    """
    name_or_path, size = _checked_size(name_or_path, size)
    if name_or_path.endswith((".yaml", ".yml")):
        return _at_size(read_space(local_path(name_or_path)), size)
    presets = tuple(name for name in preset_names() if name != CELL_SPACE)
    if name_or_path not in presets:
        reason = ", which is no FBNet space" if name_or_path == CELL_SPACE else ""
        raise ValueError(
            f"`--space` must be one of {', '.join(presets)} or a .yaml file, but got {shown(name_or_path)}{reason}."
        )
    space = read_space(PRESET_FOLDER / f"{name_or_path}.yaml")
    head = published_named(published) if published else None
    if head is not None and head.space == space.name:
        space = replace(space, last_channels=head.last_channels)
    return _at_size(space, size)


def _checked_size(name_or_path: str, size: int | None) -> tuple[str, int | None]:
    name, named_size = split_size(name_or_path)
    if size is not None and named_size is not None and size != named_size:
        raise ValueError(
            f"`--size` must be the size that `--space` names, but got --space {name_or_path} and --size {size}: omit "
            "one of the two."
        )
    return name, named_size if size is None else size


def _at_size(space: FBNetSpace, size: int | None) -> FBNetSpace:
    if size is None or size == space.input_size:
        return space
    stride = space.total_stride
    if size % stride or not 2 * stride <= size <= LARGEST_SIZE:
        nearest = stride * max(2, min(round(size / stride), LARGEST_SIZE // stride))
        raise ValueError(
            f"`--size` must be a multiple of {stride}, the strides of `{space.name}` in all, from {2 * stride} to "
            f"{LARGEST_SIZE}, but got {size}: use {nearest}, say."
        )
    return replace(space, name=f"{space.name}@{size}", input_size=size)


def read_space(path: Path) -> FBNetSpace:
    """A space from a YAML file; the form is in `docs/search_spaces.md`.

    Raises:
        ValueError: naming the file and the rule that it breaks.
    """
    content = read_yaml(path, what="a space file")
    try:
        return _space_from(content, default_name=path.stem)
    except ValueError as error:
        raise ValueError(f"in the space file {str(path)!r}: {error}") from None


_KEYS = {"name", "input_size", "classes", "stem", "stages", "last_channels", "operators"}


def _space_from(content: Any, *, default_name: str) -> FBNetSpace:
    _check_keys(content, "the file", required={"input_size", "stem", "stages", "last_channels"}, allowed=_KEYS)
    stem = content["stem"]
    _check_keys(stem, "`stem`", required={"channels", "stride"}, allowed={"channels", "stride"})
    if not isinstance(content["stages"], list):
        raise ValueError(f"`stages` must be a list, but got {shown(content['stages'])}.")
    stages = []
    for stage in content["stages"]:
        keys = {"channels", "layers", "stride"}
        _check_keys(stage, "a stage", required=keys, allowed=keys)
        stages.append(Stage(stage["channels"], stage["layers"], stage["stride"]))
    operators = content.get("operators", list(OPERATOR_NAMES))
    if not isinstance(operators, list) or not all(isinstance(name, str) for name in operators):
        raise ValueError(f"`operators` must be a list of names, but got {shown(operators)}.")
    return FBNetSpace(
        name=content.get("name", default_name),
        input_size=content["input_size"],
        classes=content.get("classes", 10),
        stem_channels=stem["channels"],
        stem_stride=stem["stride"],
        stages=tuple(stages),
        last_channels=content["last_channels"],
        operators=tuple(canonical_operator(name) for name in operators),
    )


def _check_keys(content: Any, where: str, *, required: set[str], allowed: set[str]) -> None:
    if not isinstance(content, dict):
        raise ValueError(f"{where} must be a mapping with {', '.join(sorted(required))}, but got {shown(content)}.")
    if missing := required - content.keys():
        raise ValueError(f"{where} must have {', '.join(sorted(required))}, but lacks {', '.join(sorted(missing))}.")
    if unknown := {str(key) for key in content} - allowed:
        raise ValueError(
            f"{where} may have only {', '.join(sorted(allowed))}, but has {one_line(', '.join(sorted(unknown)))}."
        )


def _check_positive(value: Any, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{name}` must be a whole number of at least 1, but got {shown(value)}.")
    if value > _MOST[name]:
        raise ValueError(f"`{name}` must be at most {_MOST[name]:,}, but got {shown(value)}.")


def _check_stride(value: Any, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value not in (1, 2):
        raise ValueError(f"`{name}` must be 1 or 2, but got {shown(value)}.")
