from dataclasses import replace

import pytest

from devices.configuration import BASE, PRECISIONS, RuntimeConfiguration, configurations_of
from devices.errors import BoardRefusedError
from devices.measurement import Board, Measurement
from devices.models import Model
from devices.profiling.default_configurations import (
    check_configurations,
    default_configurations,
    settable_configurations,
)
from devices.replay import ReplayDevice

BOARD = Board(name="ssh://pi@a", model="Raspberry Pi 4 Model B Rev 1.4", os="", runtime="", clock_mhz=None, cores=4)


def clocks_of(board: Board) -> list[int | None]:
    return list(dict.fromkeys(item.frequency_mhz for item in default_configurations(board, shares_host=False)))


@pytest.mark.parametrize(("cores", "threads"), [(8, (1, 8)), (2, (1, 2)), (1, (1,)), (None, (1,))])
def test_this_machine_takes_one_thread_and_all_cores(cores: int | None, threads: tuple[int, ...]) -> None:
    board = replace(BOARD, cores=cores, frequencies_mhz=(600, 1500))
    found = default_configurations(board, shares_host=True)
    assert found == configurations_of(threads, (None,), PRECISIONS)
    assert found[0] == BASE


@pytest.mark.parametrize(("cores", "threads"), [(4, {1, 2, 4}), (3, {1, 2}), (1, {1}), (None, {1})])
def test_a_board_takes_no_more_threads_than_cores(cores: int | None, threads: set[int]) -> None:
    found = default_configurations(replace(BOARD, cores=cores), shares_host=False)
    assert {item.threads for item in found} == threads
    assert {item.precision for item in found} == set(PRECISIONS)


@pytest.mark.parametrize(
    ("model", "listed", "expected"),
    [
        ("Raspberry Pi 3 Model B Plus Rev 1.3", range(600, 1500, 100), [1400, 1000, 600]),
        ("Raspberry Pi 4 Model B Rev 1.1", range(600, 1600, 100), [1500, 1100, 600]),
        ("Raspberry Pi 4 Model B Rev 1.5", range(600, 1900, 100), [1800, 1200, 600]),
        ("Raspberry Pi 5 Model B Rev 1.0", range(1000, 2500, 100), [2400, 2000, 1500]),
        ("Raspberry Pi Compute Module 5 Rev 1.0", range(1000, 2500, 100), [2400, 2000, 1500]),
        ("Raspberry Pi 3 Model B Rev 1.2", (600, 1200), [1200, 600]),
        ("some board", (), [None]),
    ],
)
def test_three_of_the_real_clocks_are_taken(model: str, listed: range, expected: list[int | None]) -> None:
    board = replace(BOARD, model=model, frequencies_mhz=tuple(listed))
    assert clocks_of(board) == expected
    assert default_configurations(board, shares_host=False)[0] == RuntimeConfiguration(frequency_mhz=expected[0])


class Refusing(ReplayDevice):
    """A board that may not set its clock."""

    def measure(self, model: Model, configuration: RuntimeConfiguration = BASE) -> Measurement:
        if configuration.frequency_mhz is not None:
            raise BoardRefusedError("`frequency_mhz` needs the right to set the clock")
        return super().measure(model, configuration)


def test_clocks_are_left_to_the_governor_where_they_cannot_be_set(caplog: pytest.LogCaptureFixture) -> None:
    asked = configurations_of((1, 4), (1500, 600), PRECISIONS)
    assert settable_configurations(ReplayDevice(lambda model: 1.0), asked) == asked
    assert settable_configurations(Refusing(lambda model: 1.0), asked) == configurations_of((1, 4), (None,), PRECISIONS)
    assert "governor: `frequency_mhz` needs the right to set the clock" in caplog.text


def test_a_board_is_not_asked_where_no_clock_is_to_be_set() -> None:
    def never(model: bytes) -> float:
        raise AssertionError

    asked = configurations_of((1, 4), (None,), PRECISIONS)
    assert settable_configurations(ReplayDevice(never), asked) == asked


def test_configurations_that_a_user_names_are_checked_before_any_work() -> None:
    def never(model: bytes) -> float:
        raise AssertionError("a board must not measure where no clock is to be set")

    check_configurations(ReplayDevice(never), BOARD, configurations_of((1, 4)))
    with pytest.raises(ValueError, match="`threads` must be at most 4, the cores of .*, but got 5"):
        check_configurations(ReplayDevice(never), BOARD, configurations_of((1, 5)))
    with pytest.raises(ValueError, match="`frequency_mhz` must be one of 600, 1500 on .*, but got 900"):
        check_configurations(
            ReplayDevice(never), replace(BOARD, frequencies_mhz=(600, 1500)), configurations_of((1,), (900,))
        )
    rule = "`--frequency-mhz` must be a clock that .* sets and keeps, but: `frequency_mhz` needs the right to set"
    with pytest.raises(ValueError, match=rule):
        check_configurations(Refusing(lambda model: 1.0), BOARD, configurations_of((1,), (1500,)))
    check_configurations(ReplayDevice(lambda model: 1.0), BOARD, configurations_of((1,), (1500,)))
