from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import supernet
from tests.benchmarks.supernets.conftest import RESULTS

CONFIG = supernet.SupernetBenchmarkConfig(batch=8, threads=1, rounds=2, architectures=3)


def test_rows_have_values_of_all_forms_and_ratios_to_the_references() -> None:
    rows = {line[:28].strip(): line[28:].split() for line in supernet.lines_of(CONFIG, RESULTS)}
    assert rows["weight steps, images/s"] == ["200.0", "15.0", "30.0", "12.50", "6.25"]
    assert rows["weight steps, peak MB"] == ["100", "100", "100", "1.00", "1.00"]
    assert rows["accuracy after 20 s"] == ["60.0%", "20.0%", "30.0%", "3.00", "2.00"]
    assert rows["steps in that time"] == ["100", "20", "40", "5.00", "2.50"]


@pytest.mark.parametrize("with_accuracy", [True, False])
def test_picture(tmp_path: Path, with_accuracy: bool) -> None:
    results = RESULTS if with_accuracy else replace(RESULTS, points={})
    supernet.picture(CONFIG, results).savefig(tmp_path / "supernet.png")
    assert (tmp_path / "supernet.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"batch": 1}, "`--batch >= 2` must hold, but got 1"),
        ({"threads": 0}, "`--threads >= 1` must hold, but got 0"),
        ({"architectures": 0}, "`--architectures >= 1` must hold, but got 0"),
        ({"rounds": 0}, "`--rounds >= 1` must hold, but got 0"),
        ({"seed": -1}, "`--seed >= 0` must hold, but got -1"),
        ({"seconds": -1.0}, "`--seconds >= 0` must hold, but got -1.0"),
        ({"turn_seconds": 0.0}, "`--turn-seconds > 0` must hold, but got 0.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        supernet.SupernetBenchmarkConfig(**options)
