import pytest

from search_space.operators import OPERATOR_NAMES, OPERATORS, REPRODUCTION_NAMES, Operator, operator_named


def test_order_is_that_of_the_paper() -> None:
    assert " ".join(OPERATOR_NAMES) == "k3_e1 k3_e1_g2 k3_e3 k3_e6 k5_e1 k5_e1_g2 k5_e3 k5_e6 skip"


@pytest.mark.parametrize("operator", OPERATORS[:-1], ids=lambda operator: operator.name)
def test_names_state_kernel_expansion_and_groups(operator: Operator) -> None:
    name = f"k{operator.kernel}_e{operator.expansion}" + ("_g2" if operator.groups == 2 else "")
    assert operator.name == name
    assert not operator.is_skip


def test_skip_is_the_last_and_only_skip() -> None:
    assert [operator.is_skip for operator in OPERATORS] == [False] * 8 + [True]


def test_lookup_by_name() -> None:
    assert all(operator_named(operator.name) is operator for operator in OPERATORS)
    with pytest.raises(ValueError, match=r"must be one of k3_e1, .*, skip, but got 'k7_e6'"):
        operator_named("k7_e6")


def test_operators_go_by_the_names_of_the_authors_too() -> None:
    assert tuple(REPRODUCTION_NAMES.values()) == OPERATOR_NAMES
    for theirs, ours in REPRODUCTION_NAMES.items():
        assert operator_named(theirs) is operator_named(f" {theirs.upper()} ") is operator_named(ours)
    two_groups, one_group = operator_named("ir_k5_s2"), operator_named("ir_k5_e1")
    assert (two_groups.groups, one_group.groups, two_groups.expansion, two_groups.kernel) == (2, 1, 1, 5)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("ir_k7_e6", "'ir_k7_e6', a block with a kernel of 7x7, which none of the nine operators has."),
        ("ir_k3_e1_se", "squeeze and excitation, which"),
        ("ir_k3_sep", "two stacked depthwise convolutions, which"),
        ("ir_k33_e3", "two stacked depthwise convolutions, which"),
        ("ir_k5_s4", "four groups, which"),
        ("ir_k3_e4", "4 times the channels, which"),
        ("k3e1", "'k3e1': did you mean k3_e1?"),
        ("ir_k5_e66", "did you mean ir_k5_e6"),
        ("nor_conv_3x3", "'nor_conv_3x3'."),
    ],
)
def test_what_is_no_operator_is_explained_or_the_nearest_are_named(name: str, says: str) -> None:
    with pytest.raises(ValueError, match="must be one of k3_e1") as error:
        operator_named(name)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
