from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from devices.configuration import BASE, configurations_of
from devices.cost_tables.analytic import analytic_cost_table
from devices.errors import MeasurementError
from devices.replay import ReplayDevice
from dnas.recipe import pretrain_settings
from evaluation.data.images import LabelledImages
from evaluation.data.loading import load
from evaluation.data.source import open_source
from evaluation.splits import Splits, split_data
from moo.config import SearchConfig
from moo.limits import CostLimits
from moo.measurement import boards
from moo.search.preparation import prepare
from moo.storage.origin import RecipeOrigin
from moo.storage.store import new_store
from search_space.spaces import space_named


class WatchedDevice(ReplayDevice):
    """Says whether it was closed; may fail to answer."""

    def __init__(self, *, answers: bool = True) -> None:
        super().__init__(lambda model: 1.0)
        self.answers = answers
        self.closed = False

    def describe(self) -> Any:
        if not self.answers:
            raise MeasurementError("no route to host")
        return super().describe()

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Any:
    device = WatchedDevice()
    monkeypatch.setattr(boards, "open_device", lambda name, settings, meter: device)
    return device


@pytest.fixture
def config(tmp_path: Path) -> Any:
    return SearchConfig(out=str(tmp_path / "run"), measure=False)


def prepared(config: Any) -> Any:
    return prepare(config, on_loading=lambda done, total: None)


def test_digits_are_prepared_and_nothing_is_written(config: Any, device: Any, tmp_path: Path) -> None:
    ready = prepared(replace(config, measure=True))
    assert not list(tmp_path.iterdir())
    assert not ready.resumed
    assert ready.space == space_named("fbnet-micro").with_classes(10)
    assert ready.boards.devices == (device,)
    assert ready.boards.board == device.describe()
    assert not device.closed
    assert ready.cost_tables is None
    assert json.loads(json.dumps(ready.origin.to_json()))["dataset"]["classes"] == list("0123456789")


def test_without_measuring_there_is_no_board(config: Any, device: Any) -> None:
    ready = prepared(config)
    assert ready.boards.devices == ()
    assert ready.boards.board is None
    assert device.closed
    assert ready.origin.board is None


def test_a_board_that_does_not_answer_is_refused(config: Any, device: Any, tmp_path: Path) -> None:
    device.answers = False
    with pytest.raises(ValueError, match=r"`--device` must name a board that answers, but 'host' .*no route to host"):
        prepared(replace(config, measure=True))
    assert device.closed
    assert not list(tmp_path.iterdir())


def test_a_board_is_closed_if_the_data_set_is_refused(config: Any, device: Any) -> None:
    with pytest.raises(ValueError, match="a batch must not be larger than its split"):
        prepared(replace(config, measure=True, theta_batch=10_000))
    assert device.closed


def test_settings_follow_the_number_of_images_unless_given(config: Any, splits: Splits) -> None:
    ready = prepared(config)
    assert ready.pretraining == pretrain_settings(len(ready.splits.weights))
    assert ready.setup.theta.batch_size == 32
    few = replace(ready, splits=splits)
    assert few.pretraining == pretrain_settings(len(splits.weights))
    given = replace(config, pretrain_epochs=3, pretrain_batch=8, pretrain_lr=0.5, theta_batch=5)
    settings = replace(few, config=given).pretraining
    assert (settings.epochs, settings.batch_size, settings.lr) == (3, 8, 0.5)
    assert replace(few, config=given).setup.theta.batch_size == 5
    assert replace(ready, config=replace(config, pretrain_epochs=0)).pretraining.epochs == 0


def test_few_photos_are_augmented_strongly_and_uneven_classes_drawn_evenly(config: Any, splits: Splits) -> None:
    ready = prepared(config)
    assert ready.recipe == RecipeOrigin(theta_batch=32, augmentation="light", balanced=False)
    weights = splits.weights
    large = LabelledImages(np.zeros((len(weights), 3, 48, 48), np.uint8), weights.labels_N)
    photos = replace(ready, splits=replace(splits, weights=large))
    assert photos.recipe.augmentation == "strong"
    assert photos.setup.augmentation.warp is not None
    assert photos.pretraining == pretrain_settings(len(weights), augmented=True)
    assert replace(photos, config=replace(config, augment="light")).recipe.augmentation == "light"
    labels_N = np.where(weights.labels_N == 0, 0, 1)
    uneven = replace(ready, splits=replace(splits, weights=LabelledImages(weights.pixels, labels_N)))
    assert uneven.setup.balanced is bool(np.sum(labels_N == 1) > 3 * np.sum(labels_N == 0))
    assert replace(ready, config=replace(config, balanced=True)).setup.balanced


def test_a_resumed_run_keeps_what_followed_from_its_images(config: Any) -> None:
    first = prepared(config)
    pretraining = replace(first.origin.pretraining, epochs=7, lr=0.123)
    recipe = RecipeOrigin(theta_batch=9, augmentation="strong", balanced=True)
    first.folder.write_config(config, replace(first.origin, pretraining=pretraining, recipe=recipe))
    again = prepared(replace(config, out=None, resume=config.out))
    assert (again.pretraining.epochs, again.pretraining.lr) == (7, 0.123)
    assert again.recipe == recipe
    assert again.setup.augmentation.warp is not None


def test_a_run_of_an_earlier_version_keeps_its_augmentation_and_its_batches(config: Any) -> None:
    first = prepared(config)
    pretraining = replace(first.origin.pretraining, epochs=80, batch_size=64, lr=0.3)
    first.folder.write_config(
        replace(config, theta_batch=32, pretrain_batch=64, pretrain_lr=0.3),
        replace(first.origin, pretraining=pretraining, recipe=None),
    )
    content = json.loads(first.folder.config.read_text())
    for name in ("augment", "balanced"):
        del content["settings"][name]
    del content["origin"]["recipe"], content["origin"]["pretraining"]["passes"], content["seal"]
    first.folder.config.write_text(json.dumps(content))
    saved = first.folder.read_settings()
    again = prepared(replace(saved, out=None, resume=config.out))
    settings = again.pretraining
    assert (settings.epochs, settings.batch_size, settings.lr, settings.passes) == (80, 64, 0.3, 1)
    assert again.recipe == RecipeOrigin(theta_batch=32, augmentation="light", balanced=False)


def test_images_are_mirrored_where_they_have_colour_unless_told(config: Any, splits: Splits) -> None:
    ready = prepared(config)
    assert ready.splits.grey
    assert not ready.setup.augmentation.flip
    assert replace(ready, splits=splits).setup.augmentation.flip
    assert replace(ready, config=replace(config, flip=True)).setup.augmentation.flip
    assert not replace(ready, splits=splits, config=replace(config, flip=False)).setup.augmentation.flip


def test_workers_are_set_up_with_the_settings(config: Any) -> None:
    setup = prepared(
        replace(
            config, theta_steps=7, theta_batch=9, entropy_weight=0.5, loss="multiplicative", weight_sharing="separate",
            samples=2, seed=5, threads_per_worker=3,
        )
    ).setup  # fmt: skip
    theta = setup.theta
    assert (theta.steps, theta.batch_size, theta.entropy_weight, theta.loss) == (7, 9, 0.5, "multiplicative")
    assert (setup.weight_sharing, setup.samples, setup.seed, setup.threads) == ("separate", 2, 5, 3)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"space": "nas-bench-201"}, "`--space` must be a space with a supernet, but `nas-bench-201`"),
        ({"space": "fbnet"}, "`--space` must be one of .* but got 'fbnet'"),
        ({"device": ("pi4",), "cost_table": "x.json"}, "one table, but got --device pi4 and --cost-table x.json"),
        ({"device": ("toaster",)}, "`--device` must be one of host, .*but got 'toaster'"),
        ({"dataset": "./none"}, "the path './none' does not exist"),
        ({"cost_table": "none.json"}, "a cost table file must exist, but got 'none.json'"),
        ({"theta_batch": 10_000}, "a batch must not be larger than its split, but got --theta-batch 10000 for 269"),
        ({"pretrain_batch": 10_000}, "--pretrain-batch 10000 for 990 images; omit it"),
    ],
)
def test_bad_settings_are_refused_in_one_line_and_nothing_is_written(
    config: Any, tmp_path: Path, changes: Any, rule: str
) -> None:
    with pytest.raises(ValueError, match=rule) as error:
        prepared(replace(config, **changes))
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_cost_table_must_fit_the_space(config: Any, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    analytic_cost_table(space_named("fbnet-cifar")).write(path)
    with pytest.raises(ValueError, match="the space of a cost table must be .* fbnet-micro, but .* has fbnet-cifar"):
        prepared(replace(config, space="fbnet-micro", cost_table=str(path)))
    analytic_cost_table(space_named("fbnet-micro")).write(path)
    tables = prepared(replace(config, cost_table=str(path))).cost_tables
    assert tables is not None
    assert tables.base.space == "fbnet-micro"


def test_a_run_is_resumed_from_its_folder(config: Any) -> None:
    first = prepared(config)
    first.folder.write_config(first.config, first.origin)
    again = prepared(replace(config, out=None, resume=config.out))
    assert again.resumed
    assert again.folder == first.folder
    assert again.splits.fingerprint == first.splits.fingerprint
    with pytest.raises(ValueError, match="population=8 and got population=9"):
        prepared(replace(config, out=None, resume=config.out, population=9))
    with pytest.raises(ValueError, match="already holds a run"):
        prepared(config)


def test_a_run_is_resumed_with_the_space_that_was_chosen_for_it(config: Any) -> None:
    told: list[str] = []
    first = prepare(config, on_loading=lambda done, total: None, on_choice=told.append)
    assert len(told) == 1
    assert told[0].startswith("fbnet-micro@32 (1,797 images of 8x8, ")
    assert (first.config.space, first.config.size) == ("fbnet-micro", 32)
    first.folder.write_config(first.config, first.origin)
    assert (first.folder.read_config()[0].space, first.folder.read_config()[0].size) == ("fbnet-micro", 32)
    resumed = replace(config, out=None, resume=config.out)
    for given in (
        resumed,
        replace(resumed, space="fbnet-micro"),
        replace(resumed, space="fbnet-micro@32"),
        replace(resumed, space="fbnet-micro", size=32),
    ):
        assert prepare(given, on_loading=lambda done, total: None, on_choice=told.append).config.space == "fbnet-micro"
    assert len(told) == 1
    with pytest.raises(ValueError, match="made with size=32 and got size=64; omit `--size`"):
        prepared(replace(resumed, space="fbnet-micro", size=64))


def test_a_run_of_an_earlier_version_has_its_spaces_own_size(config: Any) -> None:
    first = prepared(config)
    earlier = replace(first.config, space="fbnet-micro", size=None)
    first.folder.write_config(earlier, first.origin)
    resumed = replace(earlier, out=None, resume=config.out)
    assert prepared(resumed).config.size == 32
    assert prepared(replace(resumed, size=32)).config.size == 32


def test_the_space_is_that_of_the_cost_table(config: Any, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    analytic_cost_table(space_named("fbnet-micro@16")).write(path)
    for changes in ({"cost_table": str(path)}, {"device": (str(path),)}):
        assert prepared(replace(config, **changes)).space.name == "fbnet-micro@16"
    analytic_cost_table(replace(space_named("fbnet-micro"), name="own")).write(path)
    with pytest.raises(ValueError, match="`--space` must name the file of the space 'own', which the cost table .* is"):
        prepared(replace(config, cost_table=str(path)))


def test_a_space_is_chosen_for_published_costs_too(config: Any) -> None:
    ready = prepared(replace(config, device=("pi4",)))
    assert ready.config.space == "fbnet-micro"
    assert ready.cost_tables is not None
    assert ready.cost_tables.base.space == "fbnet-micro"


def test_images_are_brought_to_the_size_asked_for(config: Any) -> None:
    ready = prepared(replace(config, size=16))
    assert ready.space == space_named("fbnet-micro@16").with_classes(10)
    assert ready.splits.weights.pixels.shape[1:] == (3, 16, 16)
    assert prepared(replace(config, space="fbnet-micro@16")).space == ready.space
    with pytest.raises(ValueError, match="`--size` must be a multiple of 8"):
        prepared(replace(config, size=20))


def test_a_cost_table_of_another_size_is_refused(config: Any, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    analytic_cost_table(space_named("fbnet-micro")).write(path)
    with pytest.raises(ValueError, match="must be that of the search space, fbnet-micro@16, but .* has fbnet-micro"):
        prepared(replace(config, size=16, cost_table=str(path)))


def test_a_run_is_not_resumed_with_other_images_or_another_space(config: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def write_images() -> None:
        for number in range(60):
            folder = tmp_path / "images" / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / f"{number}.png")

    space = tmp_path / "own.yaml"
    stages = "[{channels: 8, layers: 1, stride: 1}]"
    text = f"{{input_size: 8, stem: {{channels: 8, stride: 1}}, stages: {stages}, last_channels: 8}}"
    space.write_text(text)
    write_images()
    config = replace(config, dataset=str(tmp_path / "images"), space=str(space), theta_batch=2, pretrain_batch=2)
    first = prepared(config)
    assert first.space.classes == 2
    first.folder.write_config(first.config, first.origin)
    resumed = replace(config, out=None, resume=config.out)
    assert asdict(prepared(resumed).space) == asdict(first.space)

    space.write_text(text.replace("last_channels: 8", "last_channels: 16"))
    with pytest.raises(ValueError, match="its own search space, but that of 'own' was changed since"):
        prepared(resumed)
    space.write_text(text)
    write_images()
    with pytest.raises(ValueError, match="its own images, but those of .* are not the ones it was made with"):
        prepared(resumed)


def test_a_search_from_a_run_on_the_same_images_may_make_them_square_in_another_way(
    config: Any, tmp_path: Path
) -> None:
    for number in range(60):
        folder = tmp_path / "images" / "ab"[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (32, 48, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    config = replace(config, dataset=str(tmp_path / "images"), space="fbnet-micro")
    first = prepared(config)
    first.folder.write_config(first.config, first.origin)
    first.folder.checkpoints.mkdir()
    first.folder.supernet.write_bytes(safetensors.numpy.save({}))
    new_store(first.folder.store).close()
    second = replace(config, out=str(tmp_path / "second"), from_run=config.out)
    same, other = prepared(second), prepared(replace(second, resize="pad"))
    assert (same.splits.resize, same.warm_start) == ("stretch", False)
    assert (other.splits.resize, other.warm_start) == ("pad", True)
    assert np.array_equal(other.splits.test.labels_N, first.splits.test.labels_N)


@pytest.mark.parametrize("changes", [{"threads": (4,)}, {"frequency_mhz": (1500,)}, {"precision": ("int8",)}])
def test_configurations_must_be_told_apart_by_a_board_or_by_tables(config: Any, device: Any, changes: Any) -> None:
    with pytest.raises(ValueError, match="configurations must be told apart by a board or by cost tables, but got ort"):
        prepared(replace(config, **changes))
    ready = prepared(replace(config, measure=True, **changes))
    assert len(ready.configurations) == 1
    assert ready.configurations[0] != BASE


def test_a_built_in_board_has_its_own_configurations_or_those_that_are_asked_for(config: Any) -> None:
    own = prepared(replace(config, device=("pi5",)))
    assert own.boards.devices == ()
    assert len(own.configurations) > 4
    assert own.cost_tables is not None
    assert own.configurations == own.cost_tables.configurations
    assert not own.has_two_objectives
    chosen = prepared(replace(config, device=("pi5",), threads=(1, 2), precision=("fp32", "int8")))
    assert chosen.configurations == configurations_of((1, 2), (None,), ("fp32", "int8")) or {
        (one.threads, one.precision) for one in chosen.configurations
    } == {(1, "fp32"), (2, "fp32"), (1, "int8"), (2, "int8")}
    base = prepared(replace(config, device=("pi5",), configurations="base"))
    assert len(base.configurations) == 1
    assert base.has_two_objectives


def test_a_board_without_a_meter_in_one_configuration_has_two_objectives(config: Any, device: Any) -> None:
    one = prepared(replace(config, measure=True, configurations="base"))
    assert (one.configurations, one.has_two_objectives) == ((BASE,), True)
    several = prepared(replace(config, measure=True, threads=(1, 2)))
    assert (several.configurations, several.has_two_objectives) == (configurations_of((1, 2)), False)


def test_more_threads_than_cores_are_refused(config: Any, device: Any) -> None:
    device._cores = 4
    with pytest.raises(ValueError, match="must be at most .*4.* cores of replay"):
        prepared(replace(config, measure=True, threads=(1, 8)))
    assert device.closed


def test_gross_energy_needs_an_idle_power(config: Any, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    table = replace(analytic_cost_table(space_named("fbnet-micro")), idle_w=None)
    table.write(path)
    with pytest.raises(ValueError, match="`--energy gross` needs the board's idle power, which is not known here"):
        prepared(replace(config, cost_table=str(path), energy="gross"))
    replace(table, idle_w=2.0).write(path)
    assert prepared(replace(config, cost_table=str(path), energy="gross")).cost_tables is not None


def test_workers_know_the_limits(config: Any) -> None:
    limits = prepared(replace(config, max_latency_ms=2.0, max_params=1000)).setup.limits
    assert limits == CostLimits(max_latency_ms=2.0, max_params=1000)


def test_an_option_that_the_method_does_not_use_is_refused(config: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`--theta-steps` must go with a search that uses it, but --method architect"):
        prepared(replace(config, method="architectures", theta_steps=5))
    assert not list(tmp_path.iterdir())


def lying_photos(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        path = folder / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)


def test_a_run_goes_on_from_another_working_directory(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lying_photos(tmp_path / "here" / "photos")
    monkeypatch.chdir(tmp_path / "here")
    first = prepared(replace(config, dataset="photos", theta_batch=2, pretrain_batch=2))
    assert first.config.dataset == str(tmp_path / "here" / "photos")
    first.folder.write_config(first.config, first.origin)
    monkeypatch.chdir(tmp_path)
    again = prepared(replace(first.config, out=None, resume=config.out))
    assert again.splits.fingerprint == first.splits.fingerprint
    assert prepared(replace(first.config, dataset="here/photos", out=None, resume=config.out)).resumed
    with pytest.raises(ValueError, match="made with dataset=.*photos and got dataset=photos"):
        prepared(replace(first.config, dataset="photos", out=None, resume=config.out))


def test_a_run_of_an_earlier_version_keeps_its_images_and_splits(config: Any, tmp_path: Path) -> None:
    lying_photos(tmp_path / "photos")
    config = replace(config, dataset=str(tmp_path / "photos"), theta_batch=2, pretrain_batch=2)
    new = prepared(config)
    assert (new.dataset.resize, new.dataset.rules, new.dataset.width, new.dataset.height) == ("stretch", 3, 40, 30)
    old = split_data(load(open_source(config.dataset), new.space.input_size, resize="crop", rules=1), config.seed)
    assert old.fingerprint != new.splits.fingerprint
    origin = new.origin.to_json() | {"recipe": None}
    dataset = origin["dataset"] | {"fingerprint": old.fingerprint}
    for name in ("resize", "rules", "omitted", "width", "height", "guessing_error", "test_guessing_error"):
        del dataset[name]
    new.folder.path.mkdir(parents=True, exist_ok=True)
    settings = config.to_json()
    del settings["resize"], settings["skip_broken"]
    content = {"settings": settings, "origin": origin | {"dataset": dataset}}
    new.folder.config.write_text(json.dumps(content))
    again = prepared(replace(config, out=None, resume=config.out))
    assert again.splits.fingerprint == old.fingerprint
    assert again.dataset.reference_error == 0.5
