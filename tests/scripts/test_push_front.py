from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.push_front import main
from tests.scripts.conftest import in_process


def push(folder: Path, *options: Any) -> Any:
    return in_process(folder, "scripts/push_front.py", main, *options)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("run", "--repo", "photos-front"), "`--repo` must be user/name"),
        (("nowhere", "--repo", "anna/front"), "the folder of a run must be given, but 'nowhere' holds no config.json"),
        (("run",), "`--repo` must be given"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, options: tuple[str, ...], rule: str) -> None:
    done = push(tmp_path, *options)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {rule}")
    assert done.stderr.count("\n") == 1
