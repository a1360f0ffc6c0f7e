from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import supernet, supernet_turns
from search_space.spaces import FBNetSpace, Stage

ROOT = Path(__file__).parents[2]

SPACE = FBNetSpace(
    name="tiny", input_size=8, classes=10, stem_channels=4, stem_stride=1, stages=(Stage(6, 2, 2),), last_channels=8
)
CONFIG = supernet_turns.SupernetBenchmarkConfig(batch=8, threads=1, rounds=2, architectures=3)


def turns(*speeds: Any, memory: Any = (100.0, 90.0, 80.0)) -> Any:
    return [supernet_turns.Turn(speed, mb) for speed, mb in zip(speeds, memory, strict=False)]


def points(*accuracies: Any, steps: int = 10) -> Any:
    return [supernet_turns.Point(10.0 * (n + 1), steps * (n + 1), (mean, mean)) for n, mean in enumerate(accuracies)]


RESULTS = supernet_turns.Results(
    {"shared": turns(100.0, 300.0), "separate": turns(10.0, 20.0), "quick": turns(20.0, 40.0)},
    {"shared": turns(40.0, 40.0), "separate": turns(10.0, 8.0), "quick": turns(20.0, 20.0)},
    {"shared": points(0.2, 0.6, steps=50), "separate": points(0.1, 0.2), "quick": points(0.1, 0.3, steps=20)},
)


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """One of each form, of which the process of the tests keeps no memory."""
    monkeypatch.setattr(supernet_turns, "keep_freed_memory", lambda: False)
    monkeypatch.setattr(supernet_turns, "RANDOM_IMAGES", 120)
    threads = torch.get_num_threads()
    yield supernet_turns.tasks_of(CONFIG, SPACE, supernet_turns.random_splits(SPACE))
    torch.set_num_threads(threads)


class Word:
    """Stands in for a connection to a process that always says to go on."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, point: Any) -> None:
        self.sent.append(point)

    def recv(self) -> Any:
        return "go on"


@pytest.mark.parametrize("steps", ["weight_steps", "theta_steps"])
@pytest.mark.parametrize("form", list(supernet_turns.FORMS))
def test_a_turn_of_each_form_tells_speed_and_memory(tasks: Any, form: Any, steps: str) -> None:
    turn = getattr(supernet, steps)(tasks[form], 0.01)
    assert turn.images_per_second > 0
    assert turn.peak_memory_mb > 10


@pytest.mark.parametrize("form", list(supernet_turns.FORMS))
def test_training_is_evaluated_at_the_end_of_each_turn(tasks: Any, form: Any) -> None:
    drawn = supernet_turns.random_architectures(SPACE, 2, seed=0)
    connection = Word()
    supernet_turns.train(tasks[form], 0.5, drawn, connection)  # type: ignore[arg-type]
    assert len(connection.sent) == supernet_turns.CHECKPOINTS
    seconds, steps = [point.seconds for point in connection.sent], [point.steps for point in connection.sent]
    assert seconds == sorted(seconds)
    assert seconds[-1] >= 0.5
    assert steps == sorted(steps)
    assert all(0 <= accuracy <= 1 for point in connection.sent for accuracy in point.accuracies)
    assert {len(point.accuracies) for point in connection.sent} == {2}


def test_pauses_do_not_count(monkeypatch: pytest.MonkeyPatch, tasks: Any) -> None:
    """By a clock that a batch moves by 1 s and a pause by 100 s."""
    now, paused, shares = [0.0], [], []  # type: ignore[var-annotated]
    monkeypatch.setattr(supernet_turns.time, "monotonic", lambda: now[0])
    task = tasks["shared"]

    def pause(over: Any) -> None:
        paused.append(over)
        now[0] += 100.0

    images = supernet_turns.ImageBatches(task.splits.weights, task.splits)
    for _ in supernet_turns.TimedBatches(images, [2.0, 4.0], shares.append, pause).batches(8, np.random.default_rng(0)):
        now[0] += 1.0
    assert paused == [2.0, 4.0]
    assert shares == [0.0, 0.25, 0.5, 0.75]


def test_a_source_has_as_many_images_as_asked_for(tasks: Any) -> None:
    task = tasks["shared"]
    source = supernet_turns.SomeBatches(supernet_turns.ImageBatches(task.splits.theta, task.splits), 40)
    assert len(source) == 40 > len(task.splits.theta)
    assert [len(labels_B) for _, labels_B in source.batches(8, np.random.default_rng(0))] == [8] * 5


def test_only_the_third_form_has_quick_kernels_of_its_own(tasks: Any) -> None:
    names = {
        form: {type(module).__name__ for module in supernet_turns.new_supernet(task).modules()}
        for form, task in tasks.items()
    }
    assert "_QuickDepthwise" in names["quick"]
    assert not any("_QuickDepthwise" in names[form] for form in ("shared", "separate"))


@pytest.mark.slow
def test_peak_memory_is_that_of_the_process_itself_and_stays() -> None:
    """Also where the parent process has more."""
    code = (
        "import numpy as np\n"
        "from benchmarks import supernet_turns\n"
        "before = supernet_turns.peak_memory_mb()\n"
        "block = np.ones(2**25); del block\n"
        "print(before, supernet_turns.peak_memory_mb())"
    )
    if torch.cuda.is_available():
        pytest.skip("with a GPU its memory counts")
    parent = np.ones(2**27)  # 1 GiB
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    before, after = map(float, done.stdout.split())
    assert before < parent.nbytes / 1e6
    assert after - before == pytest.approx(8 * 2**25 / 1e6, rel=0.2)


def test_ratios_are_medians_over_rounds() -> None:
    assert supernet.images_ratio(RESULTS.weight_turns, "separate") == pytest.approx((10 + 15) / 2)
    assert supernet.images_ratio(RESULTS.theta_turns, "quick") == 2
    assert supernet.accuracy_ratio(RESULTS, "separate") == pytest.approx(3)
    assert supernet.median_turn(RESULTS.weight_turns["shared"]) == supernet_turns.Turn(200.0, 100.0)


def test_table_and_rows_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    table = supernet.table(RESULTS)
    assert table["times weight steps"] == {"separate": pytest.approx(12.5), "quick": pytest.approx(6.25)}
    assert table["times accuracy"] == {"separate": pytest.approx(3), "quick": pytest.approx(2)}
    assert [point["mean"] for point in table["accuracy"]["shared"]] == [0.2, 0.6]  # type: ignore[index]
    supernet.print_rows(CONFIG, RESULTS)
    rows = {line[:28].strip(): line[28:].split() for line in capsys.readouterr().out.splitlines()}
    assert rows["weight steps, images/s"] == ["200.0", "15.0", "30.0", "12.50", "6.25"]
    assert rows["accuracy after 20 s"] == ["60.0%", "20.0%", "30.0%", "3.00", "2.00"]
    assert rows["steps in that time"] == ["100", "20", "40", "5.00", "2.50"]


@pytest.mark.parametrize("with_accuracy", [True, False])
def test_picture(tmp_path: Path, with_accuracy: bool) -> None:
    results = RESULTS if with_accuracy else replace(RESULTS, points={})
    supernet.picture(CONFIG, results).savefig(tmp_path / "supernet_turns.png")
    assert (tmp_path / "supernet_turns.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"batch": 1}, "`--batch >= 2` must hold, but got 1"),
        ({"threads": 0}, "`--threads >= 1` must hold, but got 0"),
        ({"architectures": 0}, "`--architectures >= 1` must hold, but got 0"),
        ({"rounds": 0}, "`--rounds >= 1` must hold, but got 0"),
        ({"seed": -1}, "`--seed >= 0` must hold, but got -1"),
        ({"seconds": -1.0}, "`--seconds >= 0` must hold, but got -1.0"),
        ({"turn_seconds": 0.0}, "`--turn-seconds > 0` must hold, but got 0.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: Any, rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        supernet_turns.SupernetBenchmarkConfig(**options)
