from rich.console import Console

from dnas.losses import Coefficients
from moo.archive import Costs, Entry
from scripts.front_table import front_table
from search_space.architectures import Architecture

ENTRY = Entry(Architecture("tiny", ("k3_e1", "skip"), "08"), 0.0833, 1.0, 1.0, 0, 0, Coefficients(1, 1, 1, 1))


def printed(entry, costs):
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        console.print(front_table([entry], [costs]))
    return capture.get()


def test_each_cost_is_shown_with_its_source():
    text = printed(ENTRY, Costs(1.234, 9.0, "measured", "modelled"))
    assert "08" in text
    assert "8.33 %" in text
    assert "1.23 ms measured" in text
    assert "9.00 mJ modelled" in text
    assert "test error" not in text


def test_test_errors_have_a_column_where_they_were_read():
    entry = Entry(**{**vars(ENTRY), "test_error": 0.1})
    text = printed(entry, Costs(1.234, 9.0, "published", "published"))
    assert "test error" in text
    assert "10.00 %" in text


def test_an_empty_front_is_an_empty_table():
    assert front_table([], []).row_count == 0
