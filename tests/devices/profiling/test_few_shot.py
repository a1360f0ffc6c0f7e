import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import BayesianRidge

from devices.configuration import BASE, RuntimeConfiguration
from devices.cost_tables.analytic import analytic_cost_table
from devices.cost_tables.cost_table import CostTable, read_cost_table
from devices.profiling.few_shot import FewShotPredictor, FewShotPrior, choose_networks
from devices.profiling.network_features import kinds_of_work
from search_space.spaces import FBNetSpace, space_named

SPACE = space_named("fbnet-micro")
SOURCE = analytic_cost_table(SPACE)
CERTAIN = FewShotPrior(tie=0.0, noise=1e-6, spread=0.0, outliers=0.0, samples=1)
"""One Gaussian of known scales, and measurements without noise."""
TWO_IN_INT8 = RuntimeConfiguration(threads=2, precision="int8")
BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "cost_tables" / "few_shot.py"


def random_networks(number: int, seed: int = 0, space: FBNetSpace = SPACE) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).integers(len(space.operators), size=(number, space.num_layers))


def latencies(table: CostTable, networks: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.array([table.latency_of(indices) for indices in networks])


def fitted(
    networks: npt.NDArray[np.int64],
    latency_ms: list[float] | npt.NDArray[np.float64],
    prior: FewShotPrior,
    source: CostTable = SOURCE,
) -> FewShotPredictor:
    return FewShotPredictor.fit(source, SPACE, networks, latency_ms, rng=np.random.default_rng(0), prior=prior)


def scaled(table: CostTable, factor: float, fixed_ms: float) -> CostTable:
    return replace(table, latency_ms=factor * table.latency_ms, fixed_latency_ms=fixed_ms)


def test_a_scaled_table_is_predicted_exactly_from_enough_networks_without_noise() -> None:
    target = scaled(SOURCE, 3.7, 2.0)
    measured, others = random_networks(12), random_networks(50, seed=1)
    mean_ms, std_ms = fitted(measured, latencies(target, measured), CERTAIN).predict(others)
    np.testing.assert_allclose(mean_ms, latencies(target, others), rtol=1e-4)
    assert std_ms.max() < 1e-3 * mean_ms.min()


@pytest.mark.parametrize("factor", [0.01, 1.0, 300.0])
def test_a_scaled_table_is_predicted_by_default(factor: float) -> None:
    target = scaled(SOURCE, factor, factor)
    candidates, others = random_networks(200), random_networks(200, seed=1)
    measured = candidates[choose_networks(SOURCE, SPACE, candidates, 10)]
    mean_ms, _ = fitted(measured, latencies(target, measured), FewShotPrior()).predict(others)
    np.testing.assert_allclose(mean_ms, latencies(target, others), rtol=0.02)


def test_predictions_do_not_depend_on_the_unit_of_either_board() -> None:
    measured, others = random_networks(10), random_networks(20, seed=1)
    latency_ms = latencies(SOURCE, measured) * np.random.default_rng(0).uniform(0.8, 1.2, 10)
    prior = FewShotPrior(samples=50)
    mean_ms, std_ms = fitted(measured, latency_ms, prior).predict(others)
    mean_us, std_us = fitted(measured, 1e3 * latency_ms, prior, source=scaled(SOURCE, 5.0, 0.0)).predict(others)
    np.testing.assert_allclose(mean_us, 1e3 * mean_ms)
    np.testing.assert_allclose(std_us, 1e3 * std_ms)


def test_the_posterior_is_that_of_gaussian_regression() -> None:
    """Against scikit-learn: with kinds of work alone and one scale, this is ridge regression."""
    measured, others = random_networks(15), random_networks(30, seed=1)
    latency_ms = latencies(SOURCE, measured) * np.random.default_rng(0).uniform(0.8, 1.2, 15)
    share, noise = 0.3, 0.05
    prior = FewShotPrior(intercept=1e4, share=share, tie=0, noise=noise, spread=0, outliers=0, samples=1)
    mean_ms, std_ms = fitted(measured, latency_ms, prior).predict(others)

    kinds = kinds_of_work(SOURCE, SPACE)
    rows, other_rows = (kinds[np.arange(len(kinds)), indices].sum(axis=1) for indices in (measured, others))
    y = latency_ms / latency_ms.mean()
    mean, sd = share * np.sqrt(2 / np.pi), share * np.sqrt(1 - 2 / np.pi)
    precision = {"alpha_init": noise**-2, "lambda_init": sd**-2, "max_iter": 1, "tol": 1e9}
    frozen = {"alpha_1": 1e20, "alpha_2": 1e20 * noise**2, "lambda_1": 1e20, "lambda_2": 1e20 * sd**2}
    ridge = BayesianRidge(**precision, **frozen).fit(rows, y - rows.sum(axis=1) * mean)
    expected, with_noise = ridge.predict(other_rows, return_std=True)
    np.testing.assert_allclose(mean_ms / latency_ms.mean(), expected + other_rows.sum(axis=1) * mean, rtol=1e-5)
    # scikit-learn takes the intercept as known: it is known up to the noise of a mean.
    variance = with_noise**2 - noise**2 + noise**2 / len(y)
    np.testing.assert_allclose((std_ms / latency_ms.mean()) ** 2, variance, rtol=1e-4)


def test_the_average_over_one_repeated_sample_is_that_sample() -> None:
    measured = random_networks(6)
    latency_ms = latencies(SOURCE, measured) + np.linspace(0, 0.1, 6)
    prior = FewShotPrior(spread=0, outliers=0, samples=1)
    one, many = (fitted(measured, latency_ms, replace(prior, samples=number)) for number in (1, 7))
    for alone, averaged in zip(one.predict(measured), many.predict(measured), strict=True):
        np.testing.assert_allclose(averaged, alone)


def test_a_wild_measurement_counts_less() -> None:
    measured = random_networks(12)
    latency_ms = latencies(SOURCE, measured)
    latency_ms[3] *= 1.6
    others = random_networks(50, seed=1)
    errors = [
        np.abs(
            fitted(measured, latency_ms, FewShotPrior(outliers=outliers)).predict(others)[0] - latencies(SOURCE, others)
        )
        for outliers in (0.0, 1.5)
    ]
    assert errors[1].mean() < 0.8 * errors[0].mean()


def test_more_networks_leave_less_doubt() -> None:
    measured, others = random_networks(40), random_networks(50, seed=1)
    latency_ms = latencies(SOURCE, measured)
    prior = FewShotPrior(spread=0, outliers=0, samples=1)
    stds = [
        fitted(measured[:number], latency_ms[:number], prior).predict(others)[1].mean() for number in (1, 4, 12, 40)
    ]
    assert stds == sorted(stds, reverse=True)


def test_networks_that_are_measured_in_any_case_are_not_chosen_again() -> None:
    candidates = random_networks(200)
    alone = choose_networks(SOURCE, SPACE, candidates, 6)
    besides = choose_networks(SOURCE, SPACE, candidates, 3, besides=candidates[alone[:3]])
    np.testing.assert_array_equal(besides, alone[3:])


def test_the_table_adds_up_to_the_predictions() -> None:
    measured, others = random_networks(8), random_networks(50, seed=1)
    latency_ms = 5 + latencies(SOURCE, measured) * np.random.default_rng(0).uniform(0.7, 1.3, 8)
    predictor = fitted(measured, latency_ms, FewShotPrior(samples=50))
    table = predictor.adapted_table(board="new", runtime="some", configuration=TWO_IN_INT8, power_w=2.5)
    np.testing.assert_allclose(latencies(table, others), predictor.predict(others)[0])
    np.testing.assert_allclose(table.energy_mj, 2.5 * table.latency_ms)
    assert (table.latency_source, table.energy_source) == ("modelled", "modelled")
    assert (table.board, table.runtime, table.configuration) == ("new", "some", TWO_IN_INT8)
    assert "8 networks" in table.method


def test_the_table_adds_up_where_prices_are_negative() -> None:
    """Networks that are quicker the more they do: entries go below 0 and have to be moved to the fixed cost."""
    measured, others = random_networks(12), random_networks(50, seed=1)
    latency_ms = 3 * latencies(SOURCE, measured).max() - latencies(SOURCE, measured)
    predictor = fitted(measured, latency_ms, replace(CERTAIN, share=3.0))
    table = predictor.adapted_table(board="new", runtime="some", configuration=BASE, power_w=0.0)
    np.testing.assert_allclose(latencies(table, others), predictor.predict(others)[0])


def test_a_negative_fixed_cost_moves_to_the_entries(tmp_path: Path) -> None:
    above = replace(SOURCE, latency_ms=SOURCE.latency_ms + 1.0)
    measured, others = random_networks(12), random_networks(50, seed=1)
    latency_ms = latencies(above, measured) - SOURCE.num_layers - above.fixed_latency_ms
    predictor = fitted(measured, latency_ms, CERTAIN, source=above)
    table = predictor.adapted_table(board="new", runtime="some", configuration=BASE, power_w=0.0)
    assert table.fixed_latency_ms == pytest.approx(0, abs=1e-9)
    predicted = predictor.predict(others)[0]
    np.testing.assert_allclose(latencies(table, others), predicted, atol=1e-2 * predicted.mean())
    table.write(tmp_path / "table.json")
    np.testing.assert_array_equal(read_cost_table(tmp_path / "table.json").latency_ms, table.latency_ms)


def test_networks_are_chosen_one_by_one_where_doubt_is_greatest() -> None:
    """Against posterior standard deviations of a predictor; they do not depend on the latencies it is given."""
    candidates = random_networks(60)
    prior = FewShotPrior(spread=0, outliers=0, samples=1)
    near = replace(prior, noise=prior.choice_noise, share=prior.share)
    chosen = list(choose_networks(SOURCE, SPACE, candidates, 8, prior=near))
    assert len(set(chosen)) == 8
    half_normal = replace(near, share=near.share / np.sqrt(1 - 2 / np.pi))
    for number in range(1, 8):
        std = fitted(candidates[chosen[:number]], np.ones(number), half_normal).predict(candidates)[1]
        std[chosen[:number]] = 0
        assert np.argmax(std) == chosen[number]


def test_a_choice_depends_on_architectures_and_the_source_up_to_its_unit_alone() -> None:
    candidates = random_networks(100)
    first = choose_networks(SOURCE, SPACE, candidates, 10)
    np.testing.assert_array_equal(first, choose_networks(scaled(SOURCE, 8.0, 0.0), SPACE, candidates, 10))
    np.testing.assert_array_equal(first[:4], choose_networks(SOURCE, SPACE, candidates, 4))


@pytest.mark.parametrize("count", [0, 4])
def test_count_out_of_range(count: int) -> None:
    with pytest.raises(ValueError, match=r"`count` must be in \[1, 3\]"):
        choose_networks(SOURCE, SPACE, random_networks(3), count)


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (np.zeros((2, SPACE.num_layers - 1), int), "must have shape"),
        (np.zeros(SPACE.num_layers, int), "must have shape"),
        (np.zeros((0, SPACE.num_layers), int), "must have shape"),
        (np.full((2, SPACE.num_layers), 9), r"whole numbers in \[0, 8\]"),
        (np.full((2, SPACE.num_layers), -1), r"whole numbers in \[0, 8\]"),
        (np.zeros((2, SPACE.num_layers)), r"whole numbers in \[0, 8\]"),
    ],
)
def test_networks_that_do_not_fit(networks: npt.NDArray[np.int64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_networks(SOURCE, SPACE, networks, 1)
    with pytest.raises(ValueError, match=message):
        fitted(networks, np.ones(len(networks)), CERTAIN)
    with pytest.raises(ValueError, match=message):
        fitted(random_networks(2), [1.0, 2.0], CERTAIN).predict(networks)


@pytest.mark.parametrize(
    ("latency_ms", "message"),
    [
        ([1.0], "one latency"),
        ([1.0, 0.0], "finite and above 0"),
        ([1.0, float("nan")], "finite and above 0"),
        ([1.0, float("inf")], "finite and above 0"),
    ],
)
def test_latencies_that_do_not_fit(latency_ms: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fitted(random_networks(2), latency_ms, CERTAIN)


def test_a_table_of_another_space() -> None:
    other = space_named("fbnet-cifar")
    with pytest.raises(ValueError, match="must be that of the search space"):
        choose_networks(SOURCE, other, random_networks(3, space=other), 1)
    with pytest.raises(ValueError, match="must be that of the search space"):
        FewShotPredictor.fit(SOURCE, other, random_networks(1, space=other), [1.0], rng=np.random.default_rng(0))


@pytest.mark.parametrize("power_w", [-1.0, float("nan"), float("inf")])
def test_power_out_of_range(power_w: float) -> None:
    with pytest.raises(ValueError, match="`power_w` must be"):
        fitted(random_networks(1), [1.0], CERTAIN).adapted_table(
            board="", runtime="some", configuration=BASE, power_w=power_w
        )


@pytest.mark.parametrize(
    ("values", "message"),
    [({name: 0.0}, f"`{name} > 0`") for name in ("intercept", "share", "noise", "choice_noise")]
    + [({name: -0.1}, f"`{name} >= 0`") for name in ("tie", "spread", "outliers")]
    + [({name: float("nan")}, f"`{name} >") for name in ("intercept", "share", "noise", "choice_noise", "tie")]
    + [({"samples": 0}, "`samples >= 1`")],
)
def test_priors_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FewShotPrior(**values)


def test_the_benchmark_on_a_made_up_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = random_networks(40)
    target = scaled(SOURCE, 2.0, 1.0)
    SOURCE.write(tmp_path / "table.json")
    lines = ["arch,made-up_ms"]
    lines += [
        f"{'_'.join(map(str, indices))},{ms!r}"
        for indices, ms in zip(networks, latencies(target, networks).tolist(), strict=True)
    ]
    (tmp_path / "targets.csv").write_text("\n".join(lines) + "\n")
    arguments = ["--table", tmp_path / "table.json", "--targets", tmp_path / "targets.csv", "--space", SPACE.name]
    monkeypatch.setattr("sys.argv", ["few_shot.py", *map(str, arguments), "--quick"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(BENCHMARK), run_name="__main__")
    assert end.value.code == 0
    mean = capsys.readouterr().out.splitlines()[-1].split()
    assert mean[0] == "mean"
    assert float(mean[1]) > 0.98


@pytest.mark.parametrize(
    ("source", "targets", "least"),
    [("raspi4", ("fpga", "titanxp_1", "gold_6240", "pixel2"), 0.88), ("pixel3", ("raspi4",), 0.97)],
)
def test_published_devices(reference: Path, source: str, targets: tuple[str, ...], least: float) -> None:
    benchmark = runpy.run_path(str(BENCHMARK))
    space = space_named("fbnet-cifar")
    table = benchmark["read_source"](str(reference / "fbnet_cifar100_lut_recovered.json"), source, space)
    networks, latency_ms = benchmark["read_targets"](reference / "fbnet_cifar100_latency_help.csv")
    assert (len(networks), len(latency_ms)) == (5000, 27)
    correlations = []
    for name in targets:
        pool = np.random.default_rng(0).choice(5000, 1000, replace=False)
        measured = pool[choose_networks(table, space, networks[pool], 10)]
        predictor = FewShotPredictor.fit(
            table, space, networks[measured], latency_ms[name][measured], rng=np.random.default_rng(0)
        )
        others = np.setdiff1d(np.arange(5000), measured)
        correlations.append(benchmark["scores"](predictor.predict(networks[others])[0], latency_ms[name][others])[0])
    assert np.mean(correlations) > least
