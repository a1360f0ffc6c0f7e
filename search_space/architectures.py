"""An architecture: one operator chosen for each searchable layer. Ids, JSON and parsing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from search_space.published import PUBLISHED
from search_space.spaces import SearchSpace


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
    """An architecture from operator names.

    Raises:
        ValueError: if the number of layers or an operator does not fit the space.
    """
    if len(operators) != space.num_layers:
        raise ValueError(
            f"an architecture of `{space.name}` must have {space.num_layers} operators, one a layer, "
            f"but got {len(operators)}."
        )
    for layer, name in enumerate(operators):
        if name not in space.operators:
            raise ValueError(
                f"layer {layer} of `{space.name}` must be one of {', '.join(space.operators)}, but got {name!r}."
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
        text: a published name (`fbnet-a`), operator names or digits separated by commas or underscores
            between digits (`k3_e1,skip,...`, `0,8,...`, `0_8_...`), an id (`08...`), or a path of a JSON
            file as written into a run folder.

    Raises:
        ValueError: if the text is none of these, or does not fit the space.
    """
    text = text.strip()
    if text.lower() in PUBLISHED:
        return architecture_of(space, PUBLISHED[text.lower()].operators)
    if text.endswith(".json"):
        return _read_json(space, Path(text))
    separator = "," if "," in text else "_" if text.replace("_", "").isdigit() else None
    words = [word.strip() for word in text.split(separator)] if separator else [text]
    if len(words) == 1 and text.isdigit():
        words = list(text)
    if len(words) == 1 and space.num_layers != 1:
        raise ValueError(
            f"`--architecture` must be one of {', '.join(PUBLISHED)}, {space.num_layers} comma-separated operators "
            f"({', '.join(space.operators)}), an id of {space.num_layers} digits or a JSON file, but got {text!r}."
        )
    return architecture_of(space, tuple(_operator_name(space, word) for word in words))


def _operator_name(space: SearchSpace, word: str) -> str:
    if word.isdigit() and int(word) < len(space.vocabulary):
        return space.vocabulary[int(word)]
    return word


def _read_json(space: SearchSpace, path: Path) -> Architecture:
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"an architecture file must exist, but got {str(path)!r}.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"an architecture file must be JSON, but {str(path)!r} is not: {error}.") from None
    if isinstance(content, dict) and isinstance(content.get("architecture"), dict):
        content = content["architecture"]
    operators = content.get("operators") if isinstance(content, dict) else content
    if not isinstance(operators, list) or not all(isinstance(name, str) for name in operators):
        raise ValueError(
            f"an architecture file must hold `operators`, a list of names, but {str(path)!r} does not."
        )
    return architecture_of(space, tuple(operators))
