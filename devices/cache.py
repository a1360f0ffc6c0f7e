"""Where things are kept that later runs use again."""

from __future__ import annotations

import os
from pathlib import Path

from search_space.boundary.reading import local_path


def cache_folder() -> Path:
    """`$PI_PARETO_NAS_CACHE`, else `pi-pareto-nas` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    cache = os.environ.get("PI_PARETO_NAS_CACHE")
    return Path(cache) if cache else local_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "pi-pareto-nas"
