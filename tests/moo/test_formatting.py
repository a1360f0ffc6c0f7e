from __future__ import annotations

import pytest

from moo.formatting import (
    cost_label,
    distinct,
    energy_error_note,
    error_text,
    many,
    percent,
    percent_within,
    short,
    size_text,
    sources_text,
    span,
    table,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.07374, "0.0737"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (1234.5, "1234"),
        (3e-7, "3.00e-07"),
        (-2, "-2.00"),
    ],
)
def test_short_numbers_have_three_digits(value: float, text: str) -> None:
    assert short(value) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0.0 %"), (0.0833, "8.3 %"), (1, "100.0 %"), (2e-5, "0.00200 %")])
def test_tiny_shares_do_not_become_zero(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_share_is_told_with_its_interval() -> None:
    assert percent_within(0.1234, 0.0911, 0.1644) == "12.3 % (9.1–16.4)"
    assert percent_within(0.1234) == percent_within(0.1234, 0.1) == "12.3 %"


def test_sources_are_named_once_in_one_order() -> None:
    assert sources_text(["modelled", "measured", "modelled"]) == "measured and modelled"
    assert cost_label("latency", "ms", ["published"]) == "latency (ms, published)"
    assert cost_label("latency", "ms", []) == "latency (ms)"


def test_a_table_has_a_rule_under_its_head_and_escapes_bars() -> None:
    assert table(("a", "b"), [("1", "x|y")]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |"


def test_values_are_told_once() -> None:
    assert distinct(["b", "a", "b"]) == "a, b"
    assert span([1000, 3]) == "3 to 1,000"
    assert span([2.5, 2.5], ".3g") == "2.5"
    assert (many(1, "is", "are"), many(2, "is", "are")) == ("1 is", "2 are")


def test_how_far_modelled_energies_may_be_off_is_said_of_the_worst() -> None:
    assert (
        cost_label("energy", "mJ", ["modelled", "measured"], [0.25, None])
        == "energy (mJ, measured and modelled ± 25 %)"
    )
    assert cost_label("energy", "mJ", ["measured"], [None]) == "energy (mJ, measured)"
    assert error_text([0.1, 0.25]) == " ± 25 %"
    assert error_text([None]) == ""
    assert energy_error_note([None]) == ""
    assert "within about 25 %" in energy_error_note([0.25, None, 0.1])
    assert "order of magnitude" in energy_error_note([1.0])


def test_sizes_have_three_digits() -> None:
    assert [size_text(size) for size in (512, 12_345, 1_200_000)] == ["512 B", "12.3 kB", "1.20 MB"]
