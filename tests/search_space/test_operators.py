import pytest

from search_space.operators import OPERATOR_NAMES, OPERATORS, Operator, operator_named


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
