from moo.markdown import distinct, many, span, table


def test_a_table_has_a_rule_under_its_head_and_escapes_bars():
    assert table(("a", "b"), [("1", "x|y")]) == "| a | b |\n| --- | --- |\n| 1 | x\\|y |"


def test_values_are_told_once():
    assert distinct(["b", "a", "b"]) == "a, b"
    assert span([1000, 3]) == "3 to 1,000"
    assert span([2.5, 2.5], ".3g") == "2.5"
    assert (many(1, "is", "are"), many(2, "is", "are")) == ("1 is", "2 are")
