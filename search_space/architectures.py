"""An architecture: one operator chosen for each searchable layer. Ids, JSON and parsing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from search_space.boundary.reading import local_path, read_json
from search_space.boundary.text import shown
from search_space.nas_bench_201 import NasBench201Space, parse_cell
from search_space.operators import OPERATOR_NAMES, canonical_operator, nearest_names, why_no_operator
from search_space.published import PUBLISHED, published_named, why_not_published
from search_space.spaces import SearchSpace

MOST_BYTES = 2**20
"""Of an architecture file."""


@dataclass(frozen=True)
class Architecture:
    """One operator for each searchable layer of a space."""

    space: str
    """Name of the space."""
    operators: tuple[str, ...]
    """Operator names, first layer first."""
    id: str
    """One digit a layer: the index of its operator in the space's family (for FBNet, 8 is `skip`)."""

    def to_json(self) -> dict[str, object]:
        """The form used in `front.json` and `architecture.json`."""
        return {"space": self.space, "id": self.id, "operators": list(self.operators)}


def architecture_of(space: SearchSpace, operators: tuple[str, ...]) -> Architecture:
    """An architecture from operator names, for FBNet's operators also those of the authors' definitions (`ir_k3_e1`).

    Raises:
        ValueError: if the number of layers or an operator does not fit the space.
    """
    if len(operators) != space.num_layers:
        raise ValueError(
            f"an architecture of `{space.name}` must have {space.num_layers} operators, one a layer, "
            f"but got {len(operators)}."
        )
    if space.vocabulary == OPERATOR_NAMES:
        operators = tuple(canonical_operator(name) for name in operators)
    for layer, name in enumerate(operators):
        if name not in space.operators:
            raise ValueError(
                f"layer {layer} of `{space.name}` must be one of {', '.join(space.operators)}, but got {shown(name)}"
                f"{why_no_operator(name, space.operators)}"
            )
    identifier = "".join(str(space.vocabulary.index(name)) for name in operators)
    return Architecture(space.name, operators, identifier)


def architecture_from_indices(space: SearchSpace, indices: tuple[int, ...]) -> Architecture:
    """An architecture from indices into `space.operators`, one a layer.

    Raises:
        ValueError: if the number of layers or an index does not fit the space.
    """
    if not all(0 <= index < len(space.operators) for index in indices):
        raise ValueError(f"indices must lie in [0, {len(space.operators) - 1}], but got {indices}.")
    return architecture_of(space, tuple(space.operators[index] for index in indices))


def operator_indices(space: SearchSpace, architecture: Architecture) -> tuple[int, ...]:
    """Index of each layer's operator in `space.operators`."""
    return tuple(space.operators.index(name) for name in architecture.operators)


def parse_architecture(space: SearchSpace, text: str) -> Architecture:
    """An architecture from what a user types.

    Args:
        space: the space that it belongs to.
        text: a published name (`fbnet-a`, `fbnet_a`); operator names, ours or the authors' (`ir_k3_e1`), or digits
            separated by commas (`k3_e1,skip,...`, `0,8,...`); digits separated by underscores (`0_8_...`); an id
            (`08...`); for the cell space its published string (`|none~0|+...|`); or a path of a JSON file as written
            into a run folder. Digits are indices into `space.vocabulary`.

    Raises:
        ValueError: if the text is none of these, or does not fit the space.
    """
    text = text.strip()
    if (published := published_named(text)) is not None:
        if len(published.operators) != space.num_layers:
            raise ValueError(
                f"an architecture of `{space.name}` must have {space.num_layers} operators, one a layer, but got "
                f"{len(published.operators)}, those of {shown(text)}: use `--space {published.space}`."
            )
        return architecture_of(space, published.operators)
    if text.endswith(".json"):
        return _read_json(space, local_path(text))
    if text.startswith("|") and isinstance(space, NasBench201Space):
        return architecture_of(space, parse_cell(text))
    return architecture_of(space, tuple(_operator_name(space, word) for word in _words(space, text)))


def published_for(space: SearchSpace) -> tuple[str, ...]:
    """Names of the published architectures that can be built in a space."""
    return tuple(
        name
        for name, published in PUBLISHED.items()
        if len(published.operators) == space.num_layers and set(published.operators) <= set(space.operators)
    )


def _words(space: SearchSpace, text: str) -> list[str]:
    if "," in text:
        return [word.strip() for word in text.split(",")]
    if _is_number(text):
        return list(text)
    if _is_number(text.replace("_", "")):
        return text.split("_")
    if space.num_layers == 1:
        return [text]
    names, layers = published_for(space), space.num_layers
    other = why_not_published(text)
    ending = nearest_names(text.lower().replace("_", "-"), names) if other is None else f": {other}."
    raise ValueError(
        f"`--architecture` must be {''.join(f'{name}, ' for name in names)}{layers} comma-separated operators "
        f"({', '.join(space.operators)}), an id of {layers} digits or a .json file, but got {shown(text)}"
        f"{ending}"
    )


def _operator_name(space: SearchSpace, word: str) -> str:
    if len(word) == 1 and _is_number(word) and int(word) < len(space.vocabulary):
        return space.vocabulary[int(word)]
    return word


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _read_json(space: SearchSpace, path: Path) -> Architecture:
    content = read_json(path, what="an architecture file", most=MOST_BYTES)
    if isinstance(content, dict) and isinstance(content.get("architecture"), dict):
        content = content["architecture"]
    fields = content if isinstance(content, dict) else {"operators": content}
    operators = fields.get("operators")
    if not isinstance(operators, list) or not all(isinstance(name, str) for name in operators):
        raise ValueError(f"an architecture file must hold `operators`, a list of names, but {str(path)!r} does not.")
    if fields.get("space", space.name) != space.name:
        raise ValueError(
            f"{str(path)!r} belongs to the space {shown(fields['space'])}, but `--space` is {space.name!r}."
        )
    architecture = architecture_of(space, tuple(operators))
    if fields.get("id", architecture.id) != architecture.id:
        raise ValueError(
            f"the operators of {str(path)!r} have the id {architecture.id}, but it says {shown(fields['id'])}."
        )
    return architecture
