from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from math import inf, nan
from typing import Any

import pytest

from devices.configuration import BASE, RuntimeConfiguration, configurations_of
from moo.config import EXECUTION_SETTINGS, SearchConfig, check_effect, config_from_json
from moo.limits import CostLimits


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("population", 1),
        ("generations", 1),
        ("samples", 0),
        ("theta_steps", 1),
        ("theta_batch", 2),
        ("pretrain_batch", 2),
        ("pretrain_epochs", 0),
        ("paths_per_step", 1),
        ("front_size", 1),
        ("threads_per_worker", 1),
        ("workers", 1),
        ("seed", 0),
    ],
)
def test_counts_have_a_least_value(name: str, least: int) -> None:
    base = SearchConfig(generations=1)
    assert getattr(replace(base, **{name: least}), name) == least  # type: ignore[arg-type]
    with pytest.raises(ValueError) as error:
        replace(base, **{name: least - 1})  # type: ignore[arg-type]
    assert str(error.value) == f"`--{name.replace('_', '-')} >= {least}` must hold, but got {least - 1}."


def test_coefficients_that_are_evolved_need_a_population() -> None:
    rule = (
        "`--population >= 4` must hold for coefficients to be evolved, but got 3 with 8 generations: raise it, or add "
        "`--generations 1`."
    )
    with pytest.raises(ValueError) as error:
        SearchConfig(population=3)
    assert str(error.value) == rule
    SearchConfig(population=4)
    SearchConfig(population=3, generations=1)
    SearchConfig(population=3, method="random")
    fixed: dict[str, Any] = dict.fromkeys(("alpha", "beta", "gamma", "delta"), (0.2, 0.2))
    SearchConfig(population=1, **fixed)
    with pytest.raises(ValueError, match="`--population >= 4` must hold"):
        SearchConfig(population=1, **fixed | {"delta": (0.2, 0.3)})


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
    "bounds", [(0.0, 1.0), (-0.2, 1.0), (2.0, 1.0), (-1.0, -1.0), (inf, inf), (1.0, inf), (nan, 1.0), (1.0, nan)]
)
def test_coefficients_have_positive_ordered_finite_bounds(name: str, bounds: Any) -> None:
    with pytest.raises(ValueError) as error:
        SearchConfig(**{name: bounds})
    assert str(error.value) == (
        f"`0 < lowest <= highest` must hold for `--{name}`, but got {bounds[0]:g} {bounds[1]:g}: two equal values fix "
        "it, and `--alpha 0 0` or `--gamma 0 0` switches a term off."
    )


@pytest.mark.parametrize("name", ["alpha", "beta", "gamma", "delta"])
def test_two_equal_values_fix_a_coefficient(name: str) -> None:
    config: Any = SearchConfig(**{name: (1.0, 1.0)})  # type: ignore[arg-type]
    assert getattr(config, name) == (1.0, 1.0)


@pytest.mark.parametrize("name", ["alpha", "gamma"])
def test_a_weight_of_zero_switches_its_term_off(name: str) -> None:
    config: Any = SearchConfig(**{name: (0.0, 0.0)})  # type: ignore[arg-type]
    assert getattr(config, name) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["beta", "delta"])
def test_an_exponent_of_zero_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"`0 < lowest <= highest` must hold for `--{name}`, but got 0 0"):
        SearchConfig(**{name: (0.0, 0.0)})  # type: ignore[arg-type]


def test_configurations_are_the_product_of_their_options() -> None:
    assert SearchConfig().given_configurations is None
    assert SearchConfig(configurations="base").given_configurations == (BASE,)
    config = SearchConfig(threads=(2, 1), frequency_mhz=(1000, 1500), precision=("int8", "fp32"))
    configurations = config.given_configurations
    assert configurations == configurations_of((1, 2), (1000, 1500), ("fp32", "int8"))
    assert configurations is not None
    assert (len(configurations), configurations[0].label) == (8, "ort 1t 1500MHz fp32")


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"threads": (0,)}, "`threads` must be a whole number of at least 1, but got 0"),
        ({"threads": (1, 1)}, "each value of `--threads` must be given once, but got 1 1"),
        ({"frequency_mhz": (0,)}, "`frequency_mhz` must be above 0 MHz and at most 100000, but got 0"),
        ({"precision": ("fp16",)}, "`precision` must be one of fp32, int8, but got 'fp16'"),
        ({"configurations": "base", "threads": (2,)}, "`--configurations base` must stand alone, but got `--threads`"),
        ({"energy": "period"}, "`--period-ms` must be given with `--energy period`.* and --period-ms none"),
        ({"period_ms": 5.0}, "`--period-ms` must be given with .* but got --energy net and --period-ms 5"),
        ({"energy": "period", "period_ms": 0.0}, "`--period-ms > 0` must hold, but got 0"),
        ({"max_latency_ms": 0.0}, "`--max-latency-ms > 0` must hold, and be finite, but got 0"),
        ({"max_energy_mj": inf}, "`--max-energy-mj > 0` must hold, and be finite, but got inf"),
        ({"max_params": -1}, "`--max-params > 0` must hold, and be finite, but got -1"),
    ],
)
def test_configurations_energies_and_limits_are_checked(settings: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule) as error:
        SearchConfig(**settings)
    assert "\n" not in str(error.value)


def test_limits_add_up_what_exceeds_them() -> None:
    limits = CostLimits(2.0, 10.0, 100)
    assert limits.violation(2.0, 10.0, 100) == 0
    assert limits.violation(3.0, 12.0, 150) == pytest.approx(0.5 + 0.2 + 0.5)
    assert limits.violation(1.0, 12.0, 50) == pytest.approx(0.2)
    assert CostLimits().violation(1e9, 1e9, 10**9) == 0
    assert (CostLimits().is_empty, CostLimits(max_params=1).is_empty) == (True, False)
    config = SearchConfig(max_latency_ms=2.0, max_energy_mj=10.0, max_params=100)
    assert config.limits == limits


def test_a_resumed_run_has_no_other_folder() -> None:
    SearchConfig(out="here", resume="here")
    with pytest.raises(ValueError, match="`--resume` goes on in its own folder, but got --out a and --resume b"):
        SearchConfig(out="a", resume="b")


@pytest.mark.parametrize(
    "config",
    [
        SearchConfig(),
        SearchConfig(alpha=(0.1, 0.3), workers=3, flip=True, cost_table="t"),
        SearchConfig(
            threads=(1, 2), frequency_mhz=(1500,), precision=("fp32", "int8"), energy="period", period_ms=50.0,
            max_latency_ms=3.0, max_params=1000,
        ),
        SearchConfig(configurations="base"),
    ],
)  # fmt: skip
def test_settings_survive_json(config: Any) -> None:
    assert config_from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("earlier", "configurations"),
    [
        ({"threads": 1, "frequency_mhz": None, "precision": "fp32"}, (BASE,)),
        ({}, (BASE,)),
        (
            {"threads": 4, "frequency_mhz": 1500, "precision": "int8"},
            (RuntimeConfiguration(threads=4, frequency_mhz=1500, precision="int8"),),
        ),
    ],
)
def test_a_run_of_an_earlier_version_has_its_one_configuration(earlier: Any, configurations: Any) -> None:
    content = SearchConfig().to_json()
    for name in ("configurations", "threads", "frequency_mhz", "precision", "energy", "period_ms", "front_size"):
        del content[name]
    config = config_from_json(json.loads(json.dumps(content | earlier)))
    assert config.given_configurations == configurations
    assert config_from_json(json.loads(json.dumps(config.to_json()))) == config


def test_settings_read_from_json_are_checked() -> None:
    with pytest.raises(ValueError, match="settings must be among .*population.*, but got colour, shape"):
        config_from_json({"shape": 1, "colour": 2})
    with pytest.raises(ValueError, match="population >= 4` must hold"):
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
        ({"adaptive": True, "supernet_generations": 3}, "--supernet-generations", "--method dnas --adaptive"),
        ({"adaptive": True, "candidates": "neighbours"}, "--candidates", "--method dnas --adaptive"),
        ({"method": "bayesian", "candidates": "neighbours"}, "--candidates", "--method bayesian"),
        ({"method": "bayesian", "supernet_generations": 3}, "--supernet-generations", "--method bayesian"),
        ({"method": "bayesian", "gamma": (1.0, 2.0)}, "--gamma", "--method bayesian"),
        ({"method": "bayesian", "theta_batch": 5}, "--theta-batch", "--method bayesian"),
        ({"method": "architectures", "proposals": 3}, "--proposals", "--method architectures"),
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
        {"method": "bayesian", "proposals": 3, "propose_beside": True, "samples": 2},
        {"candidates": "coefficients", "proposals": 3},
    ],
)
def test_an_option_that_is_read_is_not_refused(settings: Any) -> None:
    check_effect(SearchConfig(**settings))


@pytest.mark.parametrize("method", ["architectures", "bayesian"])
def test_what_searches_no_coefficients_trains_no_supernet_for_each_trial(method: Any) -> None:
    with pytest.raises(ValueError, match=f"`--independent` must go with .*, but got --method {method}, which needs"):
        SearchConfig(method=method, independent=True)


def test_a_process_that_knows_nothing_of_exits_judges_none() -> None:
    with pytest.raises(ValueError, match="`--adaptive` must go with .*, but got --method bayesian, whose Gaussian"):
        SearchConfig(method="bayesian", adaptive=True)
