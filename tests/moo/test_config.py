from __future__ import annotations

import json
from dataclasses import asdict, fields
from math import inf, nan
from typing import Any

import pytest

from moo.config import EXECUTION_SETTINGS, SearchConfig, check_effect, config_from_json


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("population", 4),
        ("generations", 1),
        ("samples", 0),
        ("theta_steps", 1),
        ("theta_batch", 2),
        ("pretrain_batch", 2),
        ("pretrain_epochs", 0),
        ("threads", 1),
        ("threads_per_worker", 1),
        ("workers", 1),
        ("seed", 0),
    ],
)
def test_counts_have_a_least_value(name: str, least: int) -> None:
    assert getattr(SearchConfig(**{name: least}), name) == least  # type: ignore[arg-type]
    with pytest.raises(ValueError) as error:
        SearchConfig(**{name: least - 1})  # type: ignore[arg-type]
    assert str(error.value) == f"`--{name.replace('_', '-')} >= {least}` must hold, but got {least - 1}."


@pytest.mark.parametrize("value", [0.0, -1.0, nan, inf])
def test_the_learning_rate_is_positive(value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^`--pretrain-lr > 0` must hold, but got {value}\.$"):
        SearchConfig(pretrain_lr=value)


@pytest.mark.parametrize("value", [-0.5, nan, inf])
def test_the_entropy_weight_is_not_negative(value: Any) -> None:
    assert SearchConfig(entropy_weight=0.0).entropy_weight == 0
    with pytest.raises(ValueError, match=rf"^`--entropy-weight >= 0` must hold, but got {value}\.$"):
        SearchConfig(entropy_weight=value)


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma", "delta"])
@pytest.mark.parametrize(
    "bounds", [(0.0, 1.0), (-0.2, 1.0), (2.0, 1.0), (1.0, 1.0), (1.0, inf), (nan, 1.0), (1.0, nan)]
)
def test_coefficients_have_positive_ordered_finite_bounds(name: str, bounds: Any) -> None:
    with pytest.raises(ValueError) as error:
        SearchConfig(**{name: bounds})
    expected = f"`0 < lowest < highest` must hold for `--{name}`, but got {bounds[0]:g} {bounds[1]:g}."
    assert str(error.value) == expected


def test_a_resumed_run_has_no_other_folder() -> None:
    SearchConfig(out="here", resume="here")
    with pytest.raises(ValueError, match="`--resume` goes on in its own folder, but got --out a and --resume b"):
        SearchConfig(out="a", resume="b")


@pytest.mark.parametrize(
    "config", [SearchConfig(), SearchConfig(alpha=(0.1, 0.3), workers=3, flip=True, cost_table="t")]
)
def test_settings_survive_json(config: Any) -> None:
    assert config_from_json(json.loads(json.dumps(config.to_json()))) == config


def test_settings_read_from_json_are_checked() -> None:
    with pytest.raises(ValueError, match="settings must be among .*population.*, but got colour, shape"):
        config_from_json({"shape": 1, "colour": 2})
    with pytest.raises(ValueError, match="population >= 4"):
        config_from_json(SearchConfig().to_json() | {"population": 3})


def test_every_setting_is_explained_and_can_be_omitted() -> None:
    lines = (SearchConfig.__doc__ or "").splitlines()
    assert lines
    assert set(asdict(SearchConfig())) == {entry.name for entry in fields(SearchConfig)}
    assert {entry.name for entry in fields(SearchConfig)} >= EXECUTION_SETTINGS


@pytest.mark.parametrize(
    ("settings", "option", "search"),
    [
        ({"method": "architectures", "loss": "multiplicative"}, "--loss", "--method architectures"),
        ({"method": "architectures", "theta_steps": 5}, "--theta-steps", "--method architectures"),
        ({"method": "architectures", "alpha": (1.0, 2.0)}, "--alpha", "--method architectures"),
        ({"method": "grid", "beta": (1.0, 2.0)}, "--beta", "--method grid"),
        ({"method": "random", "supernet_generations": 3}, "--supernet-generations", "--method random"),
        ({"independent": True, "supernet_generations": 3}, "--supernet-generations", "--method dnas --independent"),
    ],
)
def test_an_option_without_effect_is_refused(settings: Any, option: str, search: str) -> None:
    with pytest.raises(ValueError, match=f"`{option}` must go with a search that uses it, but {search} does not"):
        check_effect(SearchConfig(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": ("pi4",), "meter": "ina219"}, "`--meter` must go with a board that measures, but --device pi4 is"),
        ({"device": ("a.json",), "meter": "um25c"}, "but --device a.json is a table of costs: omit one of the two."),
        ({"device": ("ms.txt,mj.txt",), "meter": "rapl"}, "`--meter` must .* --device ms.txt,mj.txt is a table of"),
        ({"measure": False, "meter": "ina219"}, "`--meter` must go with a board that measures, but --no-measure lets"),
        ({"measure": False, "board_patience": 5.0}, "`--board-patience` must go with a board that measures"),
        ({"device": ("pi5",), "board_patience": 5.0}, "`--board-patience` must .*, but --device pi5 is a table of"),
        ({"minutes": 5.0, "generations": 3}, "`--generations` must go with a search that ends with them, but --minut"),
        ({"pretrain_epochs": 0, "pretrain_lr": 0.1}, "`--pretrain-lr` must go with pre-training, but --pretrain-epo"),
    ],
)
def test_an_option_that_nothing_would_read_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_effect(SearchConfig(**settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"meter": "ina219", "cost_table": "a.json"},
        {"meter": "ina219", "device": ("ssh://pi@one",), "board_patience": 5.0},
        {"meter": "none", "measure": False},
        {"meter": "none", "device": ("pi4",)},
        {"method": "grid", "minutes": 5.0, "generations": 3},
    ],
)
def test_an_option_that_is_read_is_not_refused(settings: Any) -> None:
    check_effect(SearchConfig(**settings))
