"""Every search space by name: the FBNet family and the tabular cell space."""

from __future__ import annotations

from search_space.nas_bench_201 import NasBench201Space
from search_space.spaces import CELL_SPACE, FBNetSpace, SearchSpace, preset_names, space_named


def any_space_named(name_or_path: str, *, published: str | None = None, classes: int | None = None) -> SearchSpace:
    """A preset, `nas-bench-201` included, or a user's own space from a YAML file.

    Args:
        name_or_path: one of `preset_names()`, or a path that ends in `.yaml` or `.yml`.
        published: name of a published architecture, whose own head is used in the space it was published for.
        classes: number of classes, where it is not the space's own.

    Raises:
        ValueError: if there is no such preset or file, the file is no valid space, or `classes` is below 1.
    """
    space: FBNetSpace | NasBench201Space
    if name_or_path == CELL_SPACE:
        space = NasBench201Space()
    elif name_or_path in preset_names() or name_or_path.endswith((".yaml", ".yml")):
        space = space_named(name_or_path, published=published)
    else:
        raise ValueError(
            f"`--space` must be one of {', '.join(preset_names())} or a .yaml file, but got {name_or_path!r}."
        )
    return space if classes is None else space.with_classes(classes)
