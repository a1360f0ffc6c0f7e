"""A search so small that all of its 27 architectures can be evaluated: what the tests of the outer loop share."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from devices.configuration import RuntimeConfiguration, configurations_of
from devices.cost_tables.cost_table import CostTable
from devices.cost_tables.family import CostTables
from devices.device import Device
from devices.measurement import Measurement, Source
from devices.replay import ReplayDevice
from dnas.inner_search import StepRecord, ThetaResult, ThetaSettings
from dnas.losses import Coefficients
from evaluation.augmentation import Augmentation
from evaluation.data.images import ImageData, LabelledImages
from evaluation.splits import Splits, split_data
from moo.config import SearchConfig
from moo.measurement.boards import Boards
from moo.search import space_choice
from moo.search.forecast import Speed
from moo.search.preparation import Preparation
from moo.storage.archive import Archive, Costs, Entry
from moo.storage.origin import RunOrigin, SearchDataset, SplitSizes
from moo.storage.run_folder import RunFolder
from moo.storage.trained_network import DeployedFile, TrainedNetwork
from moo.trials import CoefficientTrial, EvaluatedArchitecture, Indices, TrialResult, WorkerSetup
from search_space.architectures import architecture_from_indices
from search_space.spaces import FBNetSpace, Stage

TINY = FBNetSpace(
    name="tiny",
    input_size=8,
    classes=4,
    stem_channels=8,
    stem_stride=1,
    stages=(Stage(8, 1, 1), Stage(16, 2, 2)),
    last_channels=16,
    operators=("k3_e1", "k3_e6", "skip"),
)
TABLE = CostTable(
    space="tiny",
    operators=TINY.operators,
    latency_ms=np.array([[2.0, 5.0, 1.0], [1.0, 4.0, 0.5], [3.0, 6.0, 2.5]]),
    energy_mj=np.array([[7.0, 4.0, 6.0], [9.0, 8.0, 3.0], [5.0, 4.0, 8.0]]),
    fixed_latency_ms=1.0,
    fixed_energy_mj=2.0,
    latency_source="modelled",
    energy_source="modelled",
    board="made up",
    runtime="none",
    threads=1,
    clock_mhz=None,
    date=None,
    method="a test",
)
DATASET = SearchDataset(
    fingerprint="0123456789abcdef",
    classes=("cat", "dog", "fox", "owl"),
    mean=(0.5, 0.25, 0.125),
    std=(0.1, 0.2, 0.3),
    images=SplitSizes(weights=100, theta=20, selection=30, test=40),
)
ORIGIN = RunOrigin(space=TINY, dataset=DATASET)
AMPLITUDE = 60
"""Of the stripes that tell the classes apart, of 255; the rest is noise."""


@pytest.fixture(autouse=True)
def _speed_of_no_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the space is chosen, no step is timed: tests say how quick the machine is."""
    speed = Speed(weight_step=0.05, theta_step=0.03, image=0.0005)
    monkeypatch.setattr(space_choice, "measured_speed", lambda *_, **__: speed)


@pytest.fixture(scope="session")
def space() -> FBNetSpace:
    """Three layers with three operators each."""
    return TINY


@pytest.fixture(scope="session")
def splits() -> Splits:
    """Noisy 8x8 images of four classes: the direction of faint stripes gives the class."""
    rng = np.random.default_rng(0)
    labels_N = rng.integers(4, size=400)
    row_HW, column_HW = np.indices((8, 8))
    patterns_KHW = np.stack([row_HW % 2, column_HW % 2, (row_HW + column_HW) % 2, (row_HW + column_HW) // 2 % 2])
    images_NCHW = rng.integers(0, 256 - AMPLITUDE, (400, 3, 8, 8)) + AMPLITUDE * patterns_KHW[labels_N][:, None]
    images = LabelledImages(images_NCHW.astype(np.uint8), labels_N.astype(np.int64))
    return split_data(
        ImageData(name="stripes", train=images, test=None, class_names=("a", "b", "c", "d"), grey=False), seed=0
    )


@pytest.fixture(scope="session")
def table() -> CostTable:
    """Costs in which latency and energy disagree, so that the front has three dimensions."""
    return TABLE


@pytest.fixture(scope="session")
def tables(table: CostTable) -> CostTables:
    """The costs of the one configuration of most tests."""
    return CostTables([table])


@pytest.fixture(scope="session")
def setup(splits: Splits) -> WorkerSetup:
    """Set-up of a worker with very short inner searches."""
    return WorkerSetup(
        space=TINY,
        splits=splits,
        weight_sharing="shared",
        augmentation=Augmentation(crop_padding=1, flip=False),
        theta=ThetaSettings(steps=3, batch_size=16),
        samples=3,
        seed=0,
        threads=1,
    )


def family_of(table: CostTable, configurations: Sequence[RuntimeConfiguration]) -> CostTables:
    """Tables in which more threads are quicker and take more energy, and int8 is quicker and takes less."""
    tables = []
    for one in configurations:
        quicker = one.threads**-0.5 * (0.6 if one.precision == "int8" else 1.0)
        clock = 1.0 if one.frequency_mhz is None else one.frequency_mhz / 1000
        power = (1 + one.threads) / 2 * clock**2
        tables.append(
            replace(
                table,
                latency_ms=table.latency_ms * quicker / clock,
                energy_mj=table.energy_mj * quicker / clock * power,
                fixed_latency_ms=table.fixed_latency_ms * quicker / clock,
                fixed_energy_mj=table.fixed_energy_mj * quicker / clock * power,
                threads=one.threads,
                frequency_mhz=one.frequency_mhz,
                precision=one.precision,
                runtime=table.runtime if one.runtime == "ort" else "litert 2.0",
                idle_w=0.5,
            )
        )
    return CostTables(tables)


class Prepare(Protocol):
    """Makes the inputs of a search; `settings` are fields of `SearchConfig`."""

    def __call__(
        self, name: str = "run", *, device: Device | None = None, resumed: bool = False, **settings: Any
    ) -> Preparation: ...


@pytest.fixture
def prepare_tiny(tmp_path: Path, splits: Splits, table: CostTable) -> Prepare:
    """Makes the inputs of a search in a temporary folder; keywords change its settings."""

    def prepare(
        name: str = "run", *, device: Device | None = None, resumed: bool = False, **settings: Any
    ) -> Preparation:
        return prepared_in(tmp_path / name, splits, table, device=device, resumed=resumed, **settings)

    return prepare


def prepared_in(
    path: Path,
    splits: Splits,
    table: CostTable,
    *,
    device: Device | None = None,
    resumed: bool = False,
    **settings: Any,
) -> Preparation:
    """Inputs of a search in a folder; keywords change its settings."""
    defaults: dict[str, Any] = {
        "dataset": "stripes", "space": "tiny", "population": 4, "generations": 2, "samples": 2, "theta_steps": 2,
        "theta_batch": 16, "pretrain_batch": 32, "pretrain_epochs": 2, "measure": device is not None,
        "supernet_generations": 99,
    }  # fmt: skip
    config = SearchConfig(**(defaults | settings))
    given = config.given_configurations
    tables = CostTables([table]) if given is None else family_of(table, given)
    return Preparation(
        config=config,
        folder=RunFolder(path),
        resumed=resumed,
        space=TINY,
        splits=splits,
        boards=Boards() if device is None else Boards((device,), device.describe()),
        cost_tables=tables,
        configurations=tables.configurations,
    )


class MakeReplay(Protocol):
    """Makes a board that answers from a formula."""

    def __call__(self, *, shares_host: bool = True) -> ReplayDevice: ...


@pytest.fixture
def replay() -> MakeReplay:
    """Makes a board whose latencies depend on the network's form alone, and disagree with the table."""

    def make(*, shares_host: bool = True) -> ReplayDevice:
        return ReplayDevice(
            lambda model: 0.5 + sha256(str(len(model)).encode()).digest()[0] / 10, shares_host=shares_host
        )

    return make


def costs_of(
    latency_ms: float, energy_mj: float, latency_source: Source = "modelled", energy_source: Source = "modelled"
) -> Costs:
    """Costs whose energy is that above idle."""
    return Costs(
        latency_ms=latency_ms,
        energy_mj=energy_mj,
        latency_source=latency_source,
        energy_source=energy_source,
        net_mj=energy_mj,
    )


class EntryOf(Protocol):
    """Makes an entry of an archive from three operator indices."""

    def __call__(
        self,
        indices: Indices,
        error: float = 0.5,
        latency_ms: float = 1.0,
        energy_mj: float = 1.0,
        *,
        trial_id: int = 0,
        position: int = 0,
        measurement: Measurement | None = None,
    ) -> Entry: ...


@pytest.fixture
def entry_of() -> EntryOf:
    """Makes an entry of an archive from three operator indices, error, and predicted costs."""

    def make(
        indices: Indices,
        error: float = 0.5,
        latency_ms: float = 1.0,
        energy_mj: float = 1.0,
        *,
        trial_id: int = 0,
        position: int = 0,
        measurement: Measurement | None = None,
    ) -> Entry:
        return Entry(
            architecture=architecture_from_indices(TINY, indices),
            error=error,
            predicted_latency_ms=latency_ms,
            predicted_energy_mj=energy_mj,
            trial_id=trial_id,
            position=position,
            coefficients=Coefficients(1.0 + trial_id, 1.0, 1.0, 1.0),
            measurements=() if measurement is None else (measurement,),
        )

    return make


def archive_in_configurations(**options: Any) -> Archive:
    """All 27 architectures on one, two and four threads, in fp32 and int8.

    The slower err less; int8 errs a point more.

    Args:
        options: of the archive.
    """
    tables = family_of(TABLE, configurations_of((1, 2, 4), (None,), ("fp32", "int8")))
    archive = Archive((1.0, 100.0, 100.0), configurations=tables.configurations, **options)
    for place, indices in enumerate(itertools.product(range(3), repeat=3)):
        error = 1 / TABLE.latency_of(indices)
        archive.add(
            Entry(
                architecture=architecture_from_indices(TINY, indices),
                error=error,
                quantized_error=error + 0.01,
                predicted_latency_ms=TABLE.latency_of(indices),
                predicted_energy_mj=TABLE.energy_of(indices),
                params=1000,
                trial_id=0,
                position=place,
                coefficients=Coefficients(1.0, 1.0, 1.0, 1.0),
            )
        )
    archive.use_tables(tables)
    return archive


class MeasurementOf(Protocol):
    """Makes a measurement of a latency in ms."""

    def __call__(self, latency_ms: float, *, iqr_ms: float = 0.0, reliable: bool = True) -> Measurement: ...


@pytest.fixture
def measurement_of() -> MeasurementOf:
    """Makes a measurement of a latency in ms, with twice as much energy in mJ."""

    def make(latency_ms: float, *, iqr_ms: float = 0.0, reliable: bool = True) -> Measurement:
        return Measurement(
            latency_ms=latency_ms,
            median_ms=latency_ms,
            iqr_ms=iqr_ms,
            runs=50,
            energy_mj=2 * latency_ms,
            latency_source="measured",
            energy_source="modelled",
            board="bench board",
            os="Linux",
            runtime="none",
            threads=1,
            date="2000-01-01T00:00:00+00:00",
            reliable=reliable,
        )

    return make


class ResultOf(Protocol):
    """Makes the result of a trial of coefficients."""

    def __call__(self, trial_id: int, *indices: Indices, chosen: int = 0) -> TrialResult: ...


@pytest.fixture
def result_of() -> ResultOf:
    """Makes the result of a trial that gave these architectures (three operator indices each)."""

    def make(trial_id: int, *indices: Indices, chosen: int = 0) -> TrialResult:
        rng = np.random.default_rng(trial_id)
        trial = CoefficientTrial(
            trial_id, trial_id // 4, Coefficients(*(float(value) for value in rng.random(4) + 0.1))
        )
        architectures = tuple(
            EvaluatedArchitecture(
                indices=item,
                error=sum(item) / 7,
                cross_entropy=0.3,
                latency_ms=1 + item[0],
                energy_mj=2.0 + item[1],
                params=100 + sum(item),
            )
            for item in indices
        )
        theta_LO = rng.random((3, 3), np.float32)
        theta = ThetaResult(
            theta_LO, (StepRecord.of(float(value) for value in rng.random(7)),), theta_LO[None] / np.float32(2)
        )
        return TrialResult(trial=trial, architectures=architectures, chosen=chosen, theta=theta, seconds=0.25)

    return make


class TrainedOf(Protocol):
    """Makes a trained network."""

    def __call__(
        self,
        name: str,
        *,
        error: float = 0.2,
        baseline: bool = False,
        measurement: Measurement | None = None,
        int8_measurement: Measurement | None = None,
    ) -> TrainedNetwork: ...


@pytest.fixture
def trained_of() -> TrainedOf:
    """Makes a trained network: an fp32 and an int8 file, which may be measured; int8 errs a point more."""

    def make(
        name: str,
        *,
        error: float = 0.2,
        baseline: bool = False,
        measurement: Measurement | None = None,
        int8_measurement: Measurement | None = None,
    ) -> TrainedNetwork:
        folder = "baselines" if baseline else "front"
        fp32 = DeployedFile(
            precision="fp32",
            path=f"{folder}/{name}/model.onnx",
            logits_difference=1e-6,
            top1=1 - error,
            error=error,
            measurement=measurement,
        )
        int8 = DeployedFile(
            precision="int8",
            path=f"{folder}/{name}/model_int8.onnx",
            logits_difference=0.1,
            top1=0.99 - error,
            error=error + 0.01,
            measurement=int8_measurement,
        )
        return TrainedNetwork(
            name=name,
            baseline=baseline,
            error=error,
            top1=1 - error,
            top3=1 - error / 2,
            epochs=3.0,
            seconds=60.0,
            fine_tuned=False,
            macs=1000,
            params=100,
            files=(fp32, int8),
        )

    return make
