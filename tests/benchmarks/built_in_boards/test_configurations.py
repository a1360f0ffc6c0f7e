import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.built_in_boards.configurations import (
    COLOURS,
    PICTURE,
    ConfigurationsConfig,
    main,
    operating_points,
    picture,
    summary_of,
)
from devices.configuration import RuntimeConfiguration
from devices.cost_tables.raspberry_pi import built_in_configurations, built_in_tables
from devices.energy.power_model import RASPBERRY_PI_5
from search_space.architectures import parse_architecture
from search_space.spaces import space_named


def test_points_are_those_of_the_built_in_tables() -> None:
    points = operating_points(ConfigurationsConfig(board="pi5", space="fbnet-micro", architecture="76473707"))
    assert [point.configuration for point in points] == list(built_in_configurations("pi5"))
    space = space_named("fbnet-micro")
    four = RuntimeConfiguration(threads=4, frequency_mhz=2400, precision="int8")
    (point,) = [point for point in points if point.configuration == four]
    indices = [space.operators.index(name) for name in parse_architecture(space, "76473707").operators]
    assert point.latency_ms == built_in_tables("pi5", space)[four].latency_of(indices)
    assert point.net_mj == pytest.approx(point.latency_ms * RASPBERRY_PI_5.net_w(four))
    assert point.gross_mj - point.net_mj == pytest.approx(3.0 * point.latency_ms)


def test_claims() -> None:
    summary = summary_of(operating_points(ConfigurationsConfig()))
    assert summary.spearman_net["fp32"] == pytest.approx(-0.93, abs=0.005)
    assert summary.spearman_gross["fp32"] > 0.5
    assert summary.lowest_clock_net - 1 == pytest.approx(-0.38, abs=0.005)
    assert summary.lowest_clock_gross - 1 == pytest.approx(0.18, abs=0.005)
    assert summary.net_range > 7


def test_the_picture_shows_all_points_twice() -> None:
    config = ConfigurationsConfig(board="pi4")
    points = operating_points(config)
    figure = picture(points, config)
    for axes, name in zip(figure.axes, ("net_mj", "gross_mj"), strict=True):
        shown = [line for line in axes.get_lines() if line.get_marker() not in ("None", "", None)]
        assert len(shown) == len(points) == 18
        energies = sorted(float(np.asarray(line.get_ydata())[0]) for line in shown)
        assert energies == pytest.approx(sorted(getattr(point, name) for point in points))
        assert {line.get_color() for line in shown} == set(COLOURS.values())
    assert "pi4" in "".join(text.get_text() for text in figure.texts)


def test_lines_join_what_nothing_of_that_precision_beats() -> None:
    config = ConfigurationsConfig(space="fbnet-micro", architecture="76473707")
    points = operating_points(config)
    lines = [line for line in picture(points, config).axes[0].get_lines() if line.get_marker() == "None"]
    assert len(lines) == 2
    for line in lines:
        latency_ms, energy_mj = (np.asarray(data) for data in (line.get_xdata(), line.get_ydata()))
        assert (np.diff(latency_ms) > 0).all()
        assert (np.diff(energy_mj) < 0).all()


def test_other_families_are_refused() -> None:
    with pytest.raises(ValueError, match="'nas-bench-201', which is no FBNet space"):
        operating_points(ConfigurationsConfig(space="nas-bench-201"))


def test_the_script_writes_results_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["configurations.py", "--out", str(tmp_path / "out"), "--quick"])
    main()
    assert "ort 4t 2400MHz int8" in capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(content["points"]) == 18
    assert (tmp_path / "out" / PICTURE).stat().st_size > 10_000


def test_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["configurations.py", "--json", "--board", "pi4"])
    main()
    content = json.loads(capsys.readouterr().out)
    assert content["points"][0]["configuration"] == "ort 1t 1500MHz fp32"
