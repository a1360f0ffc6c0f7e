from __future__ import annotations

from dataclasses import replace

import pytest

from devices.configuration import BASE, RuntimeConfiguration
from moo.analysis.adaptation import AdaptiveResults
from moo.report.adaptive import adaptive_section
from moo.storage.adaptive_front import AdaptivePoint
from moo.storage.archive import Archive
from tests.moo.adaptive_points import STREAMED, adaptive_point, static_point

QUICK = RuntimeConfiguration(threads=4)


@pytest.fixture
def archive() -> Archive:
    return Archive((1.0, 10.0, 20.0))


def section(archive: Archive, front: list[AdaptivePoint], static: list[AdaptivePoint]) -> str:
    points = tuple(point for point in front if point.exits)
    results = AdaptiveResults(front=tuple(front), points=points, static=tuple(static), is_whole=True)
    return adaptive_section(results, archive, run="runs/own", front_size=24)


def rows_of(text: str, first: str) -> list[list[str]]:
    """Cells of the table whose head begins with a word."""
    lines = text.splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [rows[0], *rows[2:]]


def test_without_exits_nothing_is_said(archive: Archive) -> None:
    assert adaptive_section(None, archive, run="run") == ""


def test_gains_are_those_of_hypervolumes(archive: Archive) -> None:
    text = section(
        archive,
        [adaptive_point(0.2, 4.0, 8.0), adaptive_point(0.2, 2.0, 8.0, configuration=QUICK)],
        [static_point(0.2, 6.0, 12.0), static_point(0.2, 3.0, 12.0, configuration=QUICK)],
    )
    rows = rows_of(text, "points")
    assert [row[1:] for row in rows[1:]] == [
        ["0.1280", "1.000"], ["0.2880", "2.250"], ["0.2240", "1.750"], ["0.3840", "3.000"],
    ]  # fmt: skip
    _, network = rows_of(text, "network")
    assert network == ["`000`", "20.0 %", "6.00 ms", "20.0 %", "4.00 ms", "-33.3 %", "+0.0 %"]


def test_a_row_has_all_that_a_point_is_chosen_by(archive: Archive) -> None:
    point = adaptive_point(
        0.2, 4.0, 8.0, test_error=0.22, streamed=STREAMED, latency_source="measured", oracle_error=0.05,
    )  # fmt: skip
    text = section(archive, [point, static_point(0.3, 1.0, 2.0)], [static_point()])
    table = text[text.index("operating points, best accuracy first") :]
    head, row, static = rows_of(table, "network")
    cells = dict(zip(head, row, strict=True))
    assert cells == {
        "network": "`000`",
        "configuration": "`ort 1t fp32`",
        "leaves at (share of images)": "layer 0 linear above 0.9 (60.0 %), end (40.0 %)",
        "error": "20.0 % (18.0–22.0)",
        "test error": "22.0 %",
        "expected latency": "4.00 ms (measured)",
        "worst case": "6.00 ms (measured)",
        "expected energy above idle": "8.00 mJ (modelled) ± 25 %",
        "streamed mean": "4.10 ms (measured)",
        "oracle (a bound): error, latency": "5.0 %, 2.00 ms",
    }
    assert static[2] == "none"
    assert static[-2:] == ["–", "–"]
    assert "it is a bound and cannot be deployed" in text
    assert "Modelled costs were measured on no board." in text
    assert "`python scripts/select_network.py runs/own --adaptive`" in text


def test_nothing_is_said_of_models_where_all_was_measured(archive: Archive) -> None:
    point = replace(adaptive_point(), latency_source="measured", energy_source="measured", energy_error=None)
    text = section(archive, [point], [static_point()])
    assert "odelled" not in text
    assert "streamed" not in text


def test_where_exits_do_not_pay_it_says_so(archive: Archive) -> None:
    static = [static_point(0.2, 6.0, 12.0), static_point(0.4, 3.0, 6.0, indices=(1, 1, 1))]
    text = section(archive, static, static)
    assert "Exits do not enlarge the hypervolume" in text
    assert (
        "Exits do not pay for `000`: no policy that was found is as accurate and quicker. Deploy it as it is." in text
    )
    assert "**No point with exits is on the front: for these networks exits do not pay.**" in text
    assert "oracle" not in text


def test_networks_that_were_trained_with_their_exits_are_counted(archive: Archive) -> None:
    front = [adaptive_point(jointly_trained=True), adaptive_point(0.3, 2.0, jointly_trained=True)]
    assert "1 network was trained on together with its exits" in section(archive, front, [static_point()])


def test_of_the_front_alone_gains_are_a_lower_bound(archive: Archive) -> None:
    point = static_point(configuration=BASE)
    results = AdaptiveResults(front=(adaptive_point(), point), points=(adaptive_point(),), static=(), is_whole=False)
    text = adaptive_section(results, archive, run="run")
    assert "hypervolume" not in text, "no static network is known"
    assert "All 2 operating points" in text


def test_what_joint_training_gained_is_not_called_a_gain_of_the_files_as_they_are(archive: Archive) -> None:
    static = [static_point(0.2, 6.0, 12.0)]
    slower = adaptive_point(0.2, 7.0, 14.0, worst_latency_ms=8.0, jointly_trained=True)
    text = section(archive, [slower], static)
    assert "no policy that was found is as accurate as the same weights without exits, and quicker" in text
    assert "Deploy it as it is" not in text
