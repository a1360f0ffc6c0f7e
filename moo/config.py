"""What a run is made of. Importing this is quick: the command line is made from `SearchConfig`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import UseAppendAction

from devices.configuration import (
    ConfigurationSet,
    Precision,
    RuntimeConfiguration,
    RuntimeName,
    named_configurations,
)
from devices.cost_tables.energy_objective import EnergyKind, EnergyObjective
from devices.cost_tables.table_names import is_table
from dnas.train_precision import TrainPrecision
from evaluation.data.rules import Resize
from evaluation.errors import ErrorKind
from evaluation.work_folder import check_out_and_resume
from moo.limits import CostLimits
from search_space.boundary.records import record_from_json
from search_space.boundary.text import one_line, shown

Bounds = tuple[float, float]
Method = Literal["dnas", "random", "grid", "architectures", "bayesian"]
CandidatesFrom = Literal["both", "coefficients", "neighbours"]
WITHOUT_COEFFICIENTS: frozenset[Method] = frozenset({"architectures", "bayesian"})
"""Methods that evaluate architectures as they are."""


INNER_SEARCH = frozenset({"theta_steps", "theta_batch", "entropy_weight", "loss"})
"""Settings of the inner search."""

LEAST_GPU_SHARE = 0.01
"""Of a worker: each process takes half a gigabyte of a GPU for itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """Find the accuracy / latency / energy Pareto front of a board.

    With no options at all it searches on scikit-learn's digits and measures on this machine.
    """

    dataset: str = "digits"
    """`digits`, a local path, or a name on the Hugging Face hub."""
    image_column: str | None = None
    """Column of images, where the data set has several."""
    label_column: str | None = None
    """Column of labels, where the data set has several (CIFAR-100: `fine_label`)."""
    train_split: str | None = None
    """Published split to train on, where names do not tell; of a folder of images, a folder at its top, or `all` where
    its folders are classes, whatever they are called."""
    test_split: str | None = None
    """Published split to test on, where names do not tell, or `none` to hold a part of the training images out."""
    resize: Resize | None = None
    """How pictures become square: `crop`, their central square; `pad`, the whole picture between grey bars; `stretch`,
    the whole picture out of proportion. By default what loses least: `crop` where the central square holds nine tenths
    of the median picture, else `stretch`, or `pad` where some stand and others lie, or where they are longer than
    2:1."""
    skip_broken: bool = False
    """Whether images that cannot be read are left out."""
    space: str | None = None
    """A preset (README's table) or a .yaml file (docs/search_spaces.md); by default chosen by the images, the machine
    and `--minutes`, and told with the reason."""
    size: int | None = None
    """Height and width in pixels that images are brought to, where they are not the space's own; `--space
    fbnet-micro@96` says the same."""
    device: Annotated[tuple[str, ...], UseAppendAction] = ()
    """Board to measure on: `host` (this machine, the default) or `ssh://user@host[:port]`; or, with nothing measured,
    a built-in Raspberry Pi (`pi4`, `pi5`) or a table file. Give it several times for several equal boards, which share
    the work."""
    meter: str = "auto"
    """Energy meter, as in `ina219` or `um25c:/dev/rfcomm0@here` (docs/meters.md); `auto` is RAPL where this machine has
    it; energy is modelled without."""
    board_patience: float = 600.0
    """Seconds to wait at the end of a run for boards that do not answer."""
    method: Method = "dnas"
    """`dnas`: NSGA-II evolves coefficients, each with an inner search. Its rivals: `random` coefficients; a `grid`
    of fixed linear weights; `architectures`, NSGA-II on architectures themselves, without inner searches; `bayesian`,
    architectures spread over cost, then those of which a Gaussian process expects most."""
    population: int = 8
    """Trials in a generation: coefficients, each with an inner search."""
    generations: int = 8
    """Generations; each after the first evaluates twice as many architectures as the population has trials."""
    supernet_generations: int = 1
    """Generations of `dnas` whose inner searches run on the supernet itself. Later ones run on a surrogate of accuracy
    that is fitted to all architectures evaluated so far: NSGA-II evolves hundreds of coefficients on it, and only
    their most promising architectures are evaluated."""
    proposals: int | None = None
    """Architectures that a generation on the surrogate evaluates. By default twice the population; where workers have
    GPUs, and these are more, one for each, as counted when the run begins."""
    candidates: CandidatesFrom = "both"
    """Where a generation on the surrogate has its candidates from: `coefficients` are searched on it, `neighbours` are
    found by a local search over architectures; of both, each has a share that follows what it has contributed."""
    propose_beside: bool | None = None
    """Whether a generation on the surrogate is proposed while the one before it is evaluated, from what was known at
    that one's start, so that no worker waits for it; by default only where workers have GPUs."""
    minutes: float | None = None
    """Time instead of generations: the whole that you wait where no `--space` is given, else that of the search itself,
    after profiling and pre-training, in all over interruptions. With `--resume` it is that of the search."""
    asynchronous: bool = False
    """No barrier between generations: a worker that is free gets a new trial at once. For clusters of unequal
    machines; what is found then depends on the order in which trials end."""
    independent: bool = False
    """Each trial trains a supernet of its own instead of starting from the shared one: slow, for comparison."""
    adaptive: bool = False
    """Judge a trial by its network's best operating point with early exits instead of by the network as it is: linear
    exits are fitted to inherited weights, and their places and thresholds have the least loss under the trial's
    coefficients; with `--method architectures`, the least cost at no more error. All generations search on the
    supernet, as the surrogate knows nothing of exits. Limits hold for networks without exits, and so is the front;
    `adapt_front.py` goes on from it."""
    samples: int = 4
    """Different architectures sampled from each trial's theta, besides its mode."""
    pretrain_epochs: int | None = None
    """Epochs of pre-training, each of one pass over the weights split, or of several where there are fewer than 512
    images; by default as many as the number of images needs."""
    pretrain_lr: float | None = None
    """Peak learning rate of pre-training; by default 0.3 for batches of 64, and less for smaller ones."""
    pretrain_batch: int | None = None
    """Images in a step of pre-training; by default 64, or down to 16 where there are few images."""
    paths_per_step: int = 1
    """Architectures sampled in a step of pre-training, each with a batch of its own; a step takes their mean gradient.
    Workers, or GPUs, share them, and an epoch has as many fewer steps. Results depend on this number, not on that of
    workers."""
    theta_steps: int = 60
    """Gradient steps on theta in each inner search."""
    theta_batch: int | None = None
    """Images in a theta step; by default 32, or all of the theta split where it has fewer."""
    train_precision: TrainPrecision = "auto"
    """Numbers that pre-training and inner searches compute with: `auto` is `bf16` on NVIDIA and AMD GPUs that have it,
    `fp32` elsewhere. Networks are evaluated in fp32."""
    entropy_weight: float = 0.02
    """Reward for spread-out theta."""
    loss: Literal["additive", "multiplicative"] = "additive"
    """Form of the hardware-aware loss; `multiplicative` is FBNet's."""
    weight_sharing: Literal["shared", "separate"] = "shared"
    """One masked superkernel a layer, or separate weights for each candidate as FBNet has."""
    alpha: Bounds = (0.01, 3.0)
    """Lowest and highest alpha, the weight of latency; two equal values fix it, and `0 0` switches the term off."""
    beta: Bounds = (0.3, 2.0)
    """Lowest and highest beta, the exponent of latency."""
    gamma: Bounds = (0.001, 1.0)
    """Lowest and highest gamma, the weight of energy."""
    delta: Bounds = (0.3, 2.0)
    """Lowest and highest delta, the exponent of energy."""
    flip: bool | None = None
    """Whether training images are mirrored at random; by default only where images have colour."""
    augment: Literal["auto", "light", "strong"] = "auto"
    """How training images are changed at random: `light` crops them; `strong` moves, turns and resizes them, and
    changes light and colour; `auto` is strong for fewer than 5,000 images of 48 pixels or more."""
    balanced: bool | None = None
    """Whether batches draw all classes evenly; by default where the largest has over three times the images of the
    smallest."""
    error: ErrorKind = "plain"
    """What the search minimises beside costs, and all that is told of accuracy: `plain` counts all images alike;
    `balanced` counts all classes alike, 1 less the mean of their recalls, for data with rare classes."""
    measure: bool = True
    """Whether networks are measured on the board; without, all costs are modelled and labelled so."""
    from_run: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Folder of a finished run to start from. On the same images and space its supernet and evaluated architectures are
    taken over, without pre-training again: for another board, other configurations or limits. On other images,
    pre-training starts from its supernet: a larger data set serves a small one. Its settings are the defaults."""
    cost_table: str | None = None
    """Cost table to start from instead of profiling: one by profile_device.py, or one of docs/published_tables.md."""
    configurations: ConfigurationSet = "default"
    """Ways in which the board may run a network, which are searched together: `default` is one thread and more, fp32
    and int8, and a Raspberry Pi's clocks; `base` is one thread in fp32. The next four options name others."""
    threads: tuple[int, ...] = ()
    """Threads of the runtime on the board; one or several values."""
    frequency_mhz: tuple[int, ...] = ()
    """Clocks to set on the board; one or several values. Its governor decides where none is given."""
    precision: tuple[Precision, ...] = ()
    """Numbers that networks compute with on the board; `int8` is static quantisation."""
    runtime: tuple[RuntimeName, ...] = ()
    """Runtimes on the board, which are searched together: `onnxruntime` (the default) and `litert`."""
    energy: EnergyKind = "net"
    """Which energy is minimised: `net` is that above idle, `gross` includes the board's idle power, `period` is that
    of work that comes once in every `--period-ms`."""
    period_ms: float | None = None
    """Length of the period of `--energy period`, in ms."""
    max_latency_ms: float | None = None
    """Latency in ms that a network may have at most."""
    max_energy_mj: float | None = None
    """Energy in mJ that a network may need at most, of the kind that `--energy` names."""
    max_params: int | None = None
    """Parameters that a network may have at most."""
    front_size: int = 24
    """Operating points of the front that tables and pictures show; `front.json` has all."""
    seed: int = 0
    """Seed of everything random."""
    workers: int | None = None
    """Inner searches at the same time; by default one for each GPU, else one for each CPU core. More of them than GPUs
    are rounded down to as many on each."""
    gpus_per_worker: float | None = None
    """Share of a GPU that an inner search has: 0.25 runs four on each GPU at the same time (`--workers` may say fewer),
    1 has one on each, as by default, and 0 computes on CPU cores. Apple's GPU is used only with this."""
    threads_per_worker: int = 1
    """CPU threads of each inner search."""
    deterministic: bool = False
    """Whether GPUs compute the same again, bit for bit, as CPUs always do: slower, and on GPUs of one kind."""
    searches_per_worker: int | None = None
    """Inner searches that a worker does together, in one pass through the supernet; by default 8 on a GPU, and 1 on
    CPUs, where more gain little or are slower. It changes what is found by rounding, and with `--asynchronous` by when
    trials are proposed."""
    address: str | None = None
    """Ray cluster to join (`auto`, `host:port`); by default, or with `local`, one is started on this machine."""
    dashboard: bool = True
    """Whether a started Ray has its dashboard."""
    out: str | None = None
    """Run folder to make; by default runs/<data set>-<space>-<time>."""
    resume: str | None = None
    """Run folder to go on with; its settings are taken over."""
    quiet: bool = False
    """Print only the final result."""

    def __post_init__(self) -> None:
        for name, least in (
            ("population", 1), ("front_size", 1), ("generations", 1), ("samples", 0), ("theta_steps", 1),
            ("threads_per_worker", 1), ("seed", 0), ("supernet_generations", 1), ("theta_batch", 2),
            ("pretrain_batch", 2), ("pretrain_epochs", 0), ("paths_per_step", 1), ("workers", 1), ("proposals", 1),
            ("searches_per_worker", 1),
        ):  # fmt: skip
            if getattr(self, name) is not None:
                _check_least(name, getattr(self, name), least)
        check_gpus_per_worker(self.gpus_per_worker)
        if self.pretrain_lr is not None and not (math.isfinite(self.pretrain_lr) and self.pretrain_lr > 0):
            raise ValueError(f"`--pretrain-lr > 0` must hold, but got {self.pretrain_lr}.")
        if not (math.isfinite(self.entropy_weight) and self.entropy_weight >= 0):
            raise ValueError(f"`--entropy-weight >= 0` must hold, but got {self.entropy_weight}.")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"`--minutes > 0` must hold, but got {self.minutes}.")
        if self.independent and self.method in WITHOUT_COEFFICIENTS:
            raise ValueError(
                "`--independent` must go with a method that searches coefficients, but got --method "
                f"{self.method}, which needs one supernet to compare architectures with; omit one of the two."
            )
        if self.adaptive and self.method == "bayesian":
            raise ValueError(
                "`--adaptive` must go with a method that evaluates all it proposes with early exits, but got --method "
                "bayesian, whose Gaussian process knows nothing of exits: omit one of the two."
            )
        if not self.board_patience >= 0:
            raise ValueError(f"`--board-patience >= 0` must hold, but got {self.board_patience}.")
        for name in ("alpha", "beta", "gamma", "delta"):
            low, high = getattr(self, name)
            off = name in ("alpha", "gamma") and low == high == 0
            if not (off or 0 < low <= high < math.inf):
                raise ValueError(
                    f"`0 < lowest <= highest` must hold for `--{name}`, but got {low:g} {high:g}: two equal values fix "
                    "it, and `--alpha 0 0` or `--gamma 0 0` switches a term off."
                )
        searched = any(getattr(self, name)[0] < getattr(self, name)[1] for name in ("alpha", "beta", "gamma", "delta"))
        if self.method == "dnas" and self.population < 4 and self.generations > 1 and searched:
            raise ValueError(
                f"`--population >= 4` must hold for coefficients to be evolved, but got {self.population} with "
                f"{self.generations} generations: raise it, or add `--generations 1`."
            )
        if self.from_run is not None and (self.method != "dnas" or self.independent):
            raise ValueError(
                "`--from` must go with a search that uses what was evaluated before, but got "
                f"--method {self.method}{' --independent' * self.independent}: omit one of the two."
            )
        if self.error == "balanced" and self.adaptive:
            raise ValueError(
                "`--error balanced` must go with networks as they are, but got --adaptive, whose early exits are "
                "judged by the plain error: omit one of the two."
            )
        # These check themselves.
        _ = self.given_configurations, self.energy_objective, self.limits
        check_out_and_resume(self.out, self.resume)

    @property
    def without_effect(self) -> frozenset[str]:
        """Settings that the method does not use."""
        found: set[str] = set()
        if self.method in WITHOUT_COEFFICIENTS:
            found |= {*INNER_SEARCH, "alpha", "beta", "gamma", "delta"}
        if self.method == "grid":
            found |= {"beta", "delta"}
        if self.method != "dnas" or self.independent or self.adaptive:
            found |= {"supernet_generations", "candidates"}
        if self.method not in ("dnas", "bayesian") or self.independent or self.adaptive:
            found |= {"proposals", "propose_beside"}
        return frozenset(found)

    @property
    def boards(self) -> tuple[str, ...]:
        """The boards by name."""
        return self.device or ("host",)

    @property
    def given_configurations(self) -> tuple[RuntimeConfiguration, ...] | None:
        """Those that the user names, the base first; None for the board's default ones."""
        return named_configurations(self.configurations, self.threads, self.frequency_mhz, self.precision, self.runtime)

    @property
    def energy_objective(self) -> EnergyObjective:
        """The energy that is minimised."""
        return EnergyObjective(self.energy, self.period_ms)

    @property
    def limits(self) -> CostLimits:
        """What a network may cost at most."""
        return CostLimits(self.max_latency_ms, self.max_energy_mj, self.max_params)

    def to_json(self) -> dict[str, Any]:
        """All settings as plain values."""
        return dataclasses.asdict(self)


EXECUTION_SETTINGS = frozenset(
    {"workers", "gpus_per_worker", "address", "dashboard", "out", "resume", "quiet", "board_patience", "front_size"}
)
"""Settings that do not change what a run finds, and may differ when it is resumed."""
LENGTH_SETTINGS = frozenset({"generations", "minutes"})
"""Settings that say when a search ends, and may differ when it is resumed: all that was found is kept."""
FROM_RUN_SETTINGS = (
    "dataset", "resize", "skip_broken", "space", "size", "weight_sharing", "seed", "flip", "augment", "balanced",
    "error", "samples", "loss",
)  # fmt: skip
"""Settings that a search which starts from another run has from that, where they are not given."""
IMAGES_SETTINGS = ("image_column", "label_column", "train_split", "test_split")
"""The same where the data set is not given either."""
PLACE_SETTINGS = frozenset({"dataset", "space", "size", "device", "cost_table", "from_run"})
"""Settings that say what something is called or where it lies; config.json may be changed where it was moved."""


def lasting_settings(config: SearchConfig) -> dict[str, Any]:
    """Those that results depend on, as plain values; what they are made from is known by more than its name."""
    free = EXECUTION_SETTINGS | LENGTH_SETTINGS | PLACE_SETTINGS
    return {name: value for name, value in config.to_json().items() if name not in free}


def defaults_from_run(saved: SearchConfig, *, same_images: bool) -> SearchConfig:
    """What a search has by default that starts from another run: its settings, but for its board and its end.

    Args:
        saved: settings of that run.
        same_images: whether the data set is that run's, whose columns and splits then are.
    """
    names = (*FROM_RUN_SETTINGS, *(IMAGES_SETTINGS if same_images else ()))
    return dataclasses.replace(SearchConfig(), **{name: getattr(saved, name) for name in names})


def option_of(name: str) -> str:
    """The option of a setting, without hyphens in front."""
    return "from" if name == "from_run" else name.replace("_", "-")


def config_from_json(content: dict[str, Any]) -> SearchConfig:
    """Settings as `SearchConfig.to_json` wrote them.

    Raises:
        ValueError: if a setting is unknown or out of range.
    """
    if not isinstance(content, dict):
        raise ValueError(f"settings must be an object, but got {shown(content)}.")
    known = {field.name for field in dataclasses.fields(SearchConfig)}
    if unknown := set(content) - known:
        raise ValueError(
            f"settings must be among {', '.join(sorted(known))}, but got {one_line(', '.join(sorted(unknown)))}."
        )
    values = dict(content)
    if "configurations" not in values:
        # A run of an earlier version had one configuration.
        values["configurations"] = "default"
        values["threads"] = [values.get("threads", 1)]
        values["precision"] = [values.get("precision", "fp32")]
        clock = values.get("frequency_mhz")
        values["frequency_mhz"] = [] if clock is None else [clock]
    # Earlier versions knew nothing else.
    values.setdefault("train_precision", "fp32")
    return record_from_json(SearchConfig, values, where="settings")


def check_effect(config: SearchConfig) -> None:
    """Check that no setting is given that would be ignored.

    Raises:
        ValueError: naming the first such setting, and what it cannot go with.
    """
    _check_ignored(config, _ignored(config))


def check_effect_of_taking_over(config: SearchConfig) -> None:
    """Check that no setting is given that a search ignores which takes over what a run on the same images found.

    Raises:
        ValueError: naming the first such setting, and what it cannot go with.
    """
    pretraining = frozenset({"pretrain_epochs", "pretrain_lr", "pretrain_batch", "paths_per_step"})
    why = "--from takes it over from a run on the same images"
    search = "--from goes on from a run on the same images"
    _check_ignored(
        config,
        [
            (pretraining, "pre-training", why),
            (frozenset({"supernet_generations"}), "a search that begins with them", search),
        ],
    )


def _check_ignored(config: SearchConfig, ignored: Iterable[tuple[frozenset[str], str, str]]) -> None:
    given = {field.name for field in dataclasses.fields(SearchConfig) if getattr(config, field.name) != field.default}
    for names, user, reason in ignored:
        for name in sorted(names & given):
            raise ValueError(f"`--{option_of(name)}` must go with {user}, but {reason}: omit one of the two.")


def _ignored(config: SearchConfig) -> Iterator[tuple[frozenset[str], str, str]]:
    """Settings that this search ignores, what would use them, and what it is instead."""
    search = "a search that uses it"
    method = f"--method {config.method}{' --independent' * config.independent}{' --adaptive' * config.adaptive}"
    yield config.without_effect, search, f"{method} does not"
    # `--meter none` says what is the case anyway.
    boards = frozenset({"board_patience"} if config.meter == "none" else {"board_patience", "meter"})
    if tables := [name for name in config.boards if is_table(name)]:
        yield boards, "a board that measures", f"--device {tables[0]} is a table of costs"
    if not config.measure:
        yield boards, "a board that measures", "--no-measure lets none measure"
    if config.minutes is not None and config.method != "grid":
        yield frozenset({"generations"}), "a search that ends with them", "--minutes ends it by time"
    if config.pretrain_epochs == 0:
        yield frozenset({"pretrain_lr", "paths_per_step"}), "pre-training", "--pretrain-epochs 0 switches that off"


def check_gpus_per_worker(value: float | None) -> None:
    """Check a share of a GPU.

    Raises:
        ValueError: if it is none.
    """
    if value is not None and not (value == 0 or LEAST_GPU_SHARE <= value <= 1):
        raise ValueError(
            f"`{LEAST_GPU_SHARE} <= --gpus-per-worker <= 1`, or 0 for none, must hold, but got {value:g}: a worker "
            "computes on one GPU."
        )


def _check_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise ValueError(f"`--{name.replace('_', '-')} >= {least}` must hold, but got {value}.")
