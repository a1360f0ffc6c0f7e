"""With checkouts that have the form of the published ones, and three layers."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from benchmarks.supernets import published as bench
from benchmarks.supernets.published_code import PUBLISHED, Kind, published_supernet
from benchmarks.turns import in_new_processes
from search_space.spaces import Stage

HANNA = {
    "candblks.py": """
from torch import nn

class Block(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.op = nn.Sequential(
            nn.Conv2d(c_in, c_in, 1), nn.ReLU(), nn.Conv2d(c_in, c_in, 3, stride, 1, groups=c_in), nn.ReLU(),
            nn.Conv2d(c_in, c_out, 1),
        )

    def forward(self, x):
        return self.op(x)

def get_blocks(cifar10):
    layers = [[Block(a, b, s), Block(a, b, s)] for a, b, s in ((8, 8, 1), (8, 16, 2), (16, 16, 1))]
    return [nn.Conv2d(3, 8, 3, 2, padding=1), *layers, nn.Conv2d(16, 32, 1)]
""",
    "supernet.py": """
import torch
from torch import nn
import comet_ml as drawing

drawing.set()

class FBNet(nn.Module):
    def __init__(self, num_classes, blocks, alpha, beta, gamma, delta, speed_f, energy_f):
        super().__init__()
        assert len(open(speed_f).readlines()) == len(open(energy_f).readlines()) == 3
        self.first, self.last = blocks[0].cuda(), nn.Sequential(blocks[-1], nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.layers = nn.ModuleList(nn.ModuleList(block) for block in blocks[1:-1])
        self.theta = [nn.Parameter(torch.ones(len(layer)).cuda()) for layer in self.layers]
        self.classifier = nn.Linear(32, num_classes)

    def forward(self, images, labels, temperature):
        x = self.first(images)
        for layer, theta in zip(self.layers, self.theta):
            x = sum(w * op(x) for w, op in zip(nn.functional.gumbel_softmax(theta, temperature), layer))
        loss = nn.functional.cross_entropy(self.classifier(self.last(x)), labels)
        return loss, loss
""",
}
REPRODUCTION = {
    "supernet_functions/lookup_table_builder.py": """
from torch import nn

CONFIG_SUPERNET = {"lookup_table": {"path_to_lookup_table": ""}}
CANDIDATE_BLOCKS = ["wide", "skip"]
SEARCH_SPACE = {"channel_size": [8, 16, 16], "strides": [1, 2, 1]}

class LookUpTable:
    def __init__(self, calulate_latency):
        rows = open(CONFIG_SUPERNET["lookup_table"]["path_to_lookup_table"]).read().splitlines()
        assert rows[0].split() == CANDIDATE_BLOCKS
        self.latency = [[float(value) for value in row.split()] for row in rows[1:]]
        self.layers = [(8, 8, 1), (8, 16, 2), (16, 16, 1)]
""",
    "supernet_functions/model_supernet.py": """
from collections import OrderedDict

import torch
from torch import nn

class Mixed(nn.Module):
    def __init__(self, a, b, stride):
        super().__init__()
        self.ops = nn.ModuleList([nn.Conv2d(a, b, 3, stride, 1), nn.Conv2d(a, b, 1, stride)])
        self.thetas = nn.Parameter(torch.zeros(2))

class FBNet_Stochastic_SuperNet(nn.Module):
    def __init__(self, table, cnt_classes):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8))
        self.stages = nn.ModuleList(Mixed(*layer) for layer in table.layers)
        self.latency = table.latency
        self.last_stages = nn.Sequential(OrderedDict(
            conv_k1=nn.Conv2d(16, 32, 1), avg_pool_k7=nn.AvgPool2d(99), flatten=nn.Flatten(),
            fc=nn.Linear(32, cnt_classes),
        ))

    def forward(self, x, temperature, latency):
        x = self.first(x)
        for layer, row in zip(self.stages, self.latency):
            weights = nn.functional.gumbel_softmax(layer.thetas, temperature)
            x = sum(w * op(x) for w, op in zip(weights, layer.ops))
            latency = latency + sum(w * cost for w, cost in zip(weights, row))
        return self.last_stages(x), latency
""",
}
CODES = {"hanna": HANNA, "reproduction": REPRODUCTION}


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Of both codes."""
    for code, files in CODES.items():
        for name, text in files.items():
            path = tmp_path / code / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return {code: tmp_path / code for code in CODES}


def stepped(code: str, folder: Path, kind: Kind) -> tuple[tuple[Stage, ...], int]:
    """Stages and stem's stride, after a step."""
    supernet = PUBLISHED[code](folder, kind)
    supernet.step(torch.rand(2, 3, 32, 32), torch.tensor([0, 1]))
    return supernet.space.stages, supernet.space.stem_stride


@pytest.mark.slow
@pytest.mark.parametrize(("code", "stem_stride"), [("hanna", 2), ("reproduction", 1)])
def test_our_space_has_the_layers_of_published_code(folders: dict[str, Path], code: str, stem_stride: int) -> None:
    stages = (Stage(channels=8, layers=1, stride=1), Stage(channels=16, layers=2, stride=2))
    for kind in ("weight", "theta"):
        assert in_new_processes([partial(stepped, code, folders[code], kind)]) == [(stages, stem_stride)]


@pytest.mark.slow
def test_steps_are_compared(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--hanna", str(folders["hanna"]), "--quick", "--json", "--batch", "4", "--threads", "1"]
    words += ["--turn-seconds", "0.1", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["published.py", *words])
    bench.main()
    found = json.loads(capsys.readouterr().out)["comparisons"]
    assert [(one["code"], one["kind"]) for one in found] == [("hanna", "weight"), ("hanna", "theta")]
    assert all(one["ratio"] == pytest.approx(one["ours"] / one["published"]) for one in found)
    assert (tmp_path / "out" / "published.png").stat().st_size > 10_000


def test_a_folder_without_the_code_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must have candblks.py, but .* is not there"):
        PUBLISHED["hanna"](tmp_path, "weight")


@pytest.mark.slow
def test_another_checkout_is_refused_in_one_line(tmp_path: Path) -> None:
    for name in HANNA:
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match="`--hanna` must be the folder of a checkout of that code, but .* has no"):
        in_new_processes([partial(published_supernet, "hanna", tmp_path, "weight")])


def test_one_of_both_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["published.py"])
    with pytest.raises(ValueError, match="`--hanna FOLDER` or `--reproduction FOLDER` must be given"):
        bench.main()
