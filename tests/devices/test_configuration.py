from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from devices.configuration import BASE, RuntimeConfiguration, configurations_of, named_configurations

FOUR_AT_1500 = RuntimeConfiguration(threads=4, frequency_mhz=1500, precision="int8")


@pytest.mark.parametrize(
    ("configuration", "label", "short"),
    [
        (BASE, "ort 1t fp32", "1t fp32"),
        (FOUR_AT_1500, "ort 4t 1500MHz int8", "4t 1500MHz int8"),
        (RuntimeConfiguration(frequency_mhz=600), "ort 1t 600MHz fp32", "1t 600MHz fp32"),
        (RuntimeConfiguration(runtime="litert", threads=2), "litert 2t fp32", "litert 2t fp32"),
    ],
)
def test_a_label_is_read_back(configuration: RuntimeConfiguration, label: str, short: str) -> None:
    assert configuration.label == label
    assert configuration.short_label == short
    assert RuntimeConfiguration.parse(label) == configuration


@pytest.mark.parametrize(
    "label", ["", "1t fp32", "ort fp32", "ort 1t 600 fp32", "ort 0t fp32", "ort 1t fp64", "ort 1t fp32 "]
)
def test_other_texts_are_no_labels(label: str) -> None:
    with pytest.raises(ValueError, match="must"):
        RuntimeConfiguration.parse(label)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"threads": 0}, "`threads` must be a whole number of at least 1, but got 0"),
        ({"threads": True}, "`threads` must be a whole number"),
        ({"frequency_mhz": 0}, "`frequency_mhz` must be above 0 MHz and at most 100000, but got 0"),
        ({"precision": "int4"}, "`precision` must be one of fp32, int8, but got 'int4'"),
        ({"runtime": "tvm"}, "`runtime` must be one of ort, litert, but got 'tvm'"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        RuntimeConfiguration(**changes)


def test_the_base_is_the_least_of_all_combinations_whatever_their_order() -> None:
    found = configurations_of((2, 1), (600, 1500), ("int8", "fp32"))
    assert found[0] == RuntimeConfiguration(threads=1, frequency_mhz=1500, precision="fp32")
    assert len(found) == 8
    assert list(found) == sorted(found)
    assert all(configurations_of(order, (600, 1500), ("int8", "fp32")) == found for order in permutations((1, 2)))
    assert configurations_of((4, 1), (None, 1500))[0] == BASE


def test_options_name_configurations_or_leave_them_to_the_board() -> None:
    assert named_configurations("default", (), (), ()) is None
    assert named_configurations("base", (), (), ()) == (BASE,)
    assert named_configurations("default", (2,), (), ()) == (RuntimeConfiguration(threads=2),)
    assert named_configurations("default", (), (), ("int8", "fp32")) == configurations_of(precisions=("fp32", "int8"))
    both = named_configurations("default", (), (), (), ("litert", "onnxruntime"))
    assert both == (BASE, RuntimeConfiguration(runtime="litert")), "the base is ONNX Runtime's"


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        (("base", (2,), (), ()), "`--configurations base` must stand alone"),
        (("default", (1, 1), (), ()), "each value of `--threads` must be given once, but got 1 1"),
        (("default", (), (600, 600), ()), "each value of `--frequency-mhz` must be given once"),
        (("base", (), (), (), ("litert",)), "`--configurations base` must stand alone"),
        (("default", (), (), (), ("litert", "litert")), "each value of `--runtime` must be given once"),
    ],
)
def test_options_that_contradict_are_refused(options: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        named_configurations(*options)
