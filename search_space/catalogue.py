"""Every search space by name: the FBNet family and the tabular cell space."""

from __future__ import annotations

from search_space.boundary.text import shown
from search_space.nas_bench_201 import NasBench201Space
from search_space.spaces import CELL_SPACE, FBNetSpace, SearchSpace, preset_names, space_named, split_size


def any_space_named(
    name_or_path: str, *, published: str | None = None, classes: int | None = None, size: int | None = None
) -> SearchSpace:
    """A preset, `nas-bench-201` included, or a user's own space from a YAML file.

    Args:
        name_or_path: one of `preset_names()`, or a path that ends in `.yaml` or `.yml`; `@` and a number of pixels
            after it are the same as `size`.
        published: name of a published architecture, whose own head is used in the space it was published for.
        classes: number of classes, where it is not the space's own.
        size: height and width of the images in pixels, where they are not the space's own.

    Raises:
        ValueError: if there is no such preset or file, the file is no valid space, `classes` is below 1, or the size
            does not fit the space.
    """
    space: FBNetSpace | NasBench201Space
    name, named_size = split_size(name_or_path)
    if name == CELL_SPACE:
        space = NasBench201Space()
        if (size or named_size or space.input_shape[1]) != space.input_shape[1]:
            raise ValueError(
                f"`--size` must be {space.input_shape[1]} for `{CELL_SPACE}`, whose networks are published, but got "
                f"{size or named_size}."
            )
    elif name in preset_names() or name.endswith((".yaml", ".yml")):
        space = space_named(name_or_path, published=published, size=size)
    else:
        raise ValueError(
            f"`--space` must be one of {', '.join(preset_names())} or a .yaml file, but got {shown(name_or_path)}."
        )
    return space if classes is None else space.with_classes(classes)
