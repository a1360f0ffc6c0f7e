import json
from dataclasses import replace
from typing import Any

import pytest

from devices.configuration import BASE, RuntimeConfiguration, runtime_in
from devices.measurement import Board, Conditions, Measurement, MeasureSettings

MEASUREMENT = Measurement(
    latency_ms=1.5,
    median_ms=1.6,
    iqr_ms=0.1,
    runs=200,
    energy_mj=7.5,
    latency_source="measured",
    energy_source="modelled",
    board="host (a processor)",
    os="Linux",
    runtime="onnxruntime 1.20.0",
    threads=2,
    date="2026-01-02T03:04:05+00:00",
    reliable=True,
    before=Conditions(clock_mhz=1500.0, temperature_c=50.0, governor="ondemand", throttled=0),
    after=Conditions(clock_mhz=1500.0, temperature_c=51.5, governor="ondemand", throttled=0x50000),
)


def test_json_and_back() -> None:
    assert Measurement.from_json(json.loads(json.dumps(MEASUREMENT.to_json()))) == MEASUREMENT


@pytest.mark.parametrize(
    ("before", "after", "throttled"),
    [(None, None, False), (0, 0, False), (0, 0x4, True), (0x50000, 0x50000, False), (0x50000, 0xD0000, True)],
)
def test_a_run_is_throttled_if_a_flag_is_up_or_went_up_meanwhile(
    before: int | None, after: int | None, *, throttled: bool
) -> None:
    measurement = replace(MEASUREMENT, before=Conditions(throttled=before), after=Conditions(throttled=after))
    assert measurement.throttled is throttled


BOARD = Board(
    name="pi",
    model="a board",
    os="Linux",
    runtime="onnxruntime 1.20.0",
    clock_mhz=None,
    cores=4,
    frequencies_mhz=(600, 1500),
)


def test_a_board_runs_what_it_has_the_cores_and_the_clock_for() -> None:
    BOARD.check(BASE)
    BOARD.check(RuntimeConfiguration(threads=4, frequency_mhz=600))
    unknown = replace(BOARD, cores=None, frequencies_mhz=())
    unknown.check(RuntimeConfiguration(threads=64, frequency_mhz=1234))


@pytest.mark.parametrize(
    ("configuration", "rule"),
    [
        (
            RuntimeConfiguration(threads=8),
            r"`threads` must be at most 4, the cores of pi \(a board\), but got 8: .* 13",
        ),
        (RuntimeConfiguration(frequency_mhz=1000), r"`frequency_mhz` must be one of 600, 1500 on pi .*, but got 1000"),
    ],
)
def test_a_board_refuses_what_it_cannot_run_in_one_line(configuration: RuntimeConfiguration, rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as error:
        BOARD.check(configuration)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("frequency_mhz", "clock_mhz", "throttled"),
    [(1500, 1500, False), (1500, 1456, False), (1500, 1400, True), (1500, None, False), (None, 600, False)],
)
def test_a_clock_that_fell_below_the_one_that_was_set_is_throttling(
    frequency_mhz: int | None, clock_mhz: float | None, *, throttled: bool
) -> None:
    after = Conditions(clock_mhz=clock_mhz)
    assert replace(MEASUREMENT, frequency_mhz=frequency_mhz, after=after).throttled is throttled


def test_missing_and_unknown_keys_are_named() -> None:
    content = MEASUREMENT.to_json()
    del content["runs"]
    content["colour"] = "red"
    with pytest.raises(ValueError, match=r"lacks \['runs'\] and has \['colour'\]"):
        Measurement.from_json(content)


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(ValueError, match="one of measured, modelled, published, but got 'guessed'"):
        replace(MEASUREMENT, energy_source="guessed")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"warmup_runs": -1}, "`warmup_runs` must be a whole number of at least 0"),
        ({"min_runs": 0}, "`min_runs` must be a whole number of at least 1"),
        ({"min_runs": 20, "max_runs": 10}, "`max_runs >= min_runs` must hold"),
        ({"min_seconds": -0.1}, "`min_seconds >= 0` must hold"),
        ({"min_seconds": float("nan")}, "`min_seconds >= 0` must hold"),
        ({"timeout_seconds": 0.3}, "`timeout_seconds > min_seconds` must hold"),
        ({"metered_seconds": 0.0}, "`metered_seconds > 0` must hold"),
        ({"max_temperature_c": 0.0}, "`max_temperature_c > 0` and `cooldown_seconds >= 0` must hold"),
        ({"cooldown_seconds": -1.0}, "`max_temperature_c > 0` and `cooldown_seconds >= 0` must hold"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        MeasureSettings(**settings)


@pytest.mark.parametrize(
    ("name", "litert", "rule"),
    [
        ("host", None, r"needs LiteRT on host .*, but it is not installed: run `pip install 'ai-edge-litert>=2,<3'`"),
        ("pi@a", None, r"run `python scripts/setup_board.py ssh://pi@a --runtime onnxruntime litert`"),
        ("ssh://pi", None, r"run `python scripts/setup_board.py ssh://pi --runtime onnxruntime litert`"),
        ("host", "ai-edge-litert 1.4.0", r"needs version 2 of LiteRT or a later one, but .* has ai-edge-litert 1.4.0"),
    ],
)
def test_a_runtime_that_is_not_there_is_refused(name: str, litert: str | None, rule: str) -> None:
    board = replace(BOARD, name=name, litert=litert)
    with pytest.raises(ValueError, match=rule):
        board.check(RuntimeConfiguration(runtime="litert"))
    board.check(RuntimeConfiguration())


def test_measurements_of_each_runtime_have_its_configuration() -> None:
    board = replace(BOARD, runtime="onnxruntime 1.20.0", litert="ai-edge-litert 2.3.0")
    for configuration in (RuntimeConfiguration(), RuntimeConfiguration(runtime="litert")):
        assert runtime_in(board.runtime_of(configuration)) == configuration.runtime
        board.check(configuration)
