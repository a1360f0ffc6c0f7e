from __future__ import annotations

from benchmarks.supernets.forms import FORMS, InheritedAccuracy, new_supernet
from evaluation.splits import Splits
from tests.benchmarks.conftest import SPACE


def test_only_the_third_form_has_quick_kernels_of_its_own() -> None:
    names = {
        name: {type(module).__name__ for module in new_supernet(form, SPACE, seed=0).modules()}
        for name, form in FORMS.items()
    }
    assert "_QuickDepthwise" in names["quick"]
    assert not any("_QuickDepthwise" in names[form] for form in ("shared", "separate"))


def test_inherited_accuracies_are_shares_of_the_selection_split(splits: Splits) -> None:
    accuracy_of = InheritedAccuracy(new_supernet(FORMS["shared"], SPACE, seed=0), splits)
    accuracy = accuracy_of((0,) * SPACE.num_layers)
    assert accuracy == accuracy_of((0,) * SPACE.num_layers)
    right = accuracy * len(splits.selection)
    assert abs(right - round(right)) < 1e-6
