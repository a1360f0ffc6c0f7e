import json
from collections.abc import Iterator

import pytest

from devices.energy.idle_baseline import IdlePower, idle_path, kept_idle
from devices.energy.mean_power import MeanPower


def idle(mean_w: float, *, meter: str = "ina219", error_w: float = 0.01) -> IdlePower:
    return IdlePower(power=MeanPower(mean_w, error_w, 9, 50), meter=meter)


def test_what_was_kept_holds_as_long_as_it_is_true() -> None:
    assert kept_idle("pi (a board)", idle(2.0)) == idle(2.0)
    assert kept_idle("pi (a board)", idle(2.03)) == idle(2.0)
    assert kept_idle("pi (a board)", idle(1.97)) == idle(2.0)


def test_a_board_that_changed_gets_a_new_baseline_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    kept_idle("pi (a board)", idle(2.0))
    assert caplog.records == []
    assert kept_idle("pi (a board)", idle(2.6)) == idle(2.6)
    (record,) = caplog.records
    assert "idle power of pi (a board) was 2.00 W when it was last measured and is 2.60 W now" in record.getMessage()
    assert kept_idle("pi (a board)", idle(2.62)) == idle(2.6)


def test_what_a_meter_cannot_tell_apart_is_the_same() -> None:
    kept_idle("pi (a board)", idle(2.0, error_w=0.2))
    assert kept_idle("pi (a board)", idle(2.5, error_w=0.2)) == idle(2.0, error_w=0.2)


def test_each_board_and_meter_has_its_own() -> None:
    kept_idle("pi (a board)", idle(2.0))
    assert kept_idle("pi (another)", idle(3.0)) == idle(3.0)
    assert kept_idle("pi (a board)", idle(3.0, meter="um25c")) == idle(3.0, meter="um25c")
    assert kept_idle("pi (a board)", idle(2.0)) == idle(2.0)


def damages() -> Iterator[str]:
    sound = {"mean_w": 9.0, "standard_error_w": 0.1, "degrees_of_freedom": 9, "samples": 50}
    yield from ("", "{", "[]", "[" * 100_000, json.dumps({}))
    for change in ({"mean_w": "x"}, {"mean_w": 1e999}, {"samples": 1e999}, {"mean_w": 10**400}):
        yield json.dumps(sound | change)
    yield json.dumps(sound | {"degrees_of_freedom": 0})


@pytest.mark.parametrize("damage", damages())
def test_a_damaged_file_is_written_anew(damage: str) -> None:
    path = idle_path("pi (a board)", "ina219")
    path.parent.mkdir(parents=True)
    path.write_text(damage)
    assert kept_idle("pi (a board)", idle(2.0)) == idle(2.0)
    assert kept_idle("pi (a board)", idle(2.01)) == idle(2.0)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_where_nothing_can_be_kept_a_search_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    path = idle_path("pi (a board)", "ina219")
    path.mkdir(parents=True)
    (path / "file").touch()
    assert kept_idle("pi (a board)", idle(2.0)) == idle(2.0)
    (record,) = caplog.records
    assert "idle power of pi (a board) cannot be kept for other runs" in record.getMessage()


def test_no_link_is_written_through() -> None:
    path = idle_path("pi (a board)", "ina219")
    path.parent.mkdir(parents=True)
    precious = path.parent.parent / "precious"
    precious.write_text("content")
    path.symlink_to(precious)
    kept_idle("pi (a board)", idle(2.0))
    assert precious.read_text() == "content"
    assert not path.is_symlink()


def test_a_flipped_digit_is_not_believed() -> None:
    kept_idle("pi (a board)", idle(2.0))
    path = idle_path("pi (a board)", "ina219")
    path.write_text(path.read_text().replace('"mean_w": 2.0', '"mean_w": 2.01'))
    assert kept_idle("pi (a board)", idle(2.02)) == idle(2.02)
