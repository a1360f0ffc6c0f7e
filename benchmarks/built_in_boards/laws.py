"""The laws behind the built-in boards `pi4` and `pi5`, fitted to published latencies, with their errors.

    python benchmarks/built_in_boards/laws.py [--quick] [--json]

Published latencies are restated below; how much of each kind of work a network has is the answer of the operator model
that is fitted to the published table of a Raspberry Pi 4. Each law is fitted to all networks but one and judged by that
one, in turn. It takes seconds, and the result does not depend on the machine.

Claims, mean relative errors for networks that the fit did not see: threads 12 % (Raspberry Pi 4), int8 8 % within one
runtime, Raspberry Pi 5 over Raspberry Pi 4 6 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.optimize import lsq_linear

from benchmarks.built_in_boards.published_networks import published_graph
from benchmarks.options import BenchmarkConfig, read_config
from benchmarks.results import Column, TextTable, print_results
from devices.cost_tables.operator_model import COUNTS, graph_counts
from devices.cost_tables.pi4 import fitted_model, published_latencies
from devices.cost_tables.raspberry_pi import BUILT_IN_BOARDS, clock_factor, int8_factors, thread_factors
from scripts.interface.command_line import run

if TYPE_CHECKING:
    from typing_extensions import Self

NCNN_MS = {
    "mobilenet": (123.76, 60.74, 20.24, 9.00),
    "mobilenet_v2": (92.98, 61.63, 16.21, 10.46),
    "mobilenet_v3": (72.48, 47.08, 11.64, 7.30),
    "shufflenet": (47.17, 32.91, 7.17, 4.14),
    "shufflenet_v2": (41.62, 24.37, 7.07, 3.37),
    "mnasnet": (83.60, 51.80, 12.93, 6.83),
    "proxylessnasnet": (98.48, 53.02, 15.72, 7.85),
    "efficientnet_b0": (129.45, 73.92, 24.12, 12.28),
    "efficientnetv2_b0": (155.06, 79.10, 27.59, 13.54),
    "regnety_400m": (105.39, 65.27, 16.41, 10.93),
    "resnet18": (190.80, 122.27, 29.54, 19.84),
    "resnet50": (533.15, 261.90, 89.04, 45.94),
    "squeezenet": (73.35, 46.28, 11.77, 6.74),
    "vgg16": (1066.58, 541.66, 188.84, 127.75),
}
"""Least of ten latencies in ms: Raspberry Pi 4 at 1.8 GHz with one and four threads, then Raspberry Pi 5 at 2.4 GHz.

Source: ncnn, benchmark/README.md (BSD-3). The Raspberry Pi 5 computes in fp16 there, the Pi 4 in fp32.
"""
THREAD_NETWORKS = ("mobilenet", "mobilenet_v2", "mnasnet", "resnet18", "resnet50", "squeezenet", "vgg16")
"""Those whose graphs are known."""
SEPARABLE_NETWORKS = tuple(NCNN_MS)[:10]
"""Those made of depthwise or grouped and 1x1 convolutions, as searched networks are."""
NCNN_INT8 = {"pi4": (84.66 / 123.76, 170.21 / 250.71), "pi5": (14.38 / 20.24, 36.05 / 45.42)}
"""One thread of ncnn, int8 over float: MobileNet V1 for classification and with SSD."""
FP16_GAIN = 2.0
"""How much quicker fp16 is than fp32 on a Cortex-A76: twice the numbers in a vector, half the bytes.

ncnn's 28 GMAC/s of one thread on MobileNet V1, which has hardly any convolution that Winograd's algorithm shortens, are
possible in fp16 alone: in fp32 a core does 8 MACs a cycle, 19 GMAC/s at 2.4 GHz.
"""
NCNN_PI4_MHZ = 1800
TENSORFLOW_MS = {"mobilenet_v2_ssd": (483.5, 148.9), "mobilenet_v1_ssd_0.75": (263.9, 66.2)}
"""Raspberry Pi 4 (at 1.5 GHz then) and 5 in fp32, all cores: a check. Source: A. Allan, benchmarking-ml-on-the-edge."""
EXECUTORCH_PI5_INT8 = 4.01 / 10.89
"""MobileNet V2, int8 over fp32 on a Raspberry Pi 5. Source: Arm learning paths, "ExecuTorch on Arm"."""
MLPERF_MS = {
    "efficientnet-lite0": (68.1143, 31.2438),
    "efficientnet-lite1": (97.9608, 47.0173),
    "efficientnet-lite2": (131.1252, 64.0861),
    "efficientnet-lite3": (194.885, 95.7056),
    "efficientnet-lite4": (333.9249, 162.5278),
    "mobilenet-v1-0.25-128": (4.7433, 2.0936),
    "mobilenet-v1-0.25-160": (7.0994, 2.9293),
    "mobilenet-v1-0.25-192": (9.5813, 3.8818),
    "mobilenet-v1-0.25-224": (13.2456, 5.0102),
    "mobilenet-v1-0.5-128": (9.3949, 4.1004),
    "mobilenet-v1-0.5-160": (14.0083, 5.9507),
    "mobilenet-v1-0.5-192": (19.0531, 7.9481),
    "mobilenet-v1-0.5-224": (25.8063, 10.2763),
    "mobilenet-v1-0.75-128": (18.8065, 6.9658),
    "mobilenet-v1-0.75-160": (26.1211, 10.2009),
    "mobilenet-v1-0.75-192": (34.5329, 13.6397),
    "mobilenet-v1-0.75-224": (45.9808, 18.1866),
    "mobilenet-v1-1.0-128": (30.4361, 10.5202),
    "mobilenet-v1-1.0-160": (40.7369, 15.792),
    "mobilenet-v1-1.0-192": (53.3697, 21.3541),
    "mobilenet-v1-1.0-224": (67.9376, 28.5262),
}
"""Median latency in ms of fp32 and int8 on a Raspberry Pi 4, TensorFlow Lite 2.4.1, four threads.

Source: MLPerf Inference v1.0, open division, Krai (Apache-2.0).
"""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class LawsConfig(BenchmarkConfig):
    """Fit the laws of the built-in boards anew."""

    def quickened(self) -> Self:
        """As it is: it takes seconds anyway."""
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class Law:
    """A law as it stands in `devices.cost_tables.raspberry_pi`, and as the published figures have it."""

    name: str
    networks: int
    built_in: tuple[float, ...]
    fitted: tuple[float, ...]
    error: float
    """Mean relative error with the built-in figures."""
    left_out_error: float
    """Mean relative error for each network with figures that are fitted to the others."""
    worst: float
    """The largest of these."""


def main() -> None:
    """Fit and print."""
    config = read_config(LawsConfig)
    found = laws()
    print_results(
        {"laws": [asdict(law) for law in found], "checks": checks()},
        [*_lines(found), "", *(f"{name + ':':<70}{value:.3f}" for name, value in checks().items())],
        as_json=config.json,
    )


def laws() -> list[Law]:
    """All laws that are fitted to published latencies."""
    return [thread_law(), *_int8_laws(), board_law()]


def thread_law() -> Law:
    """Serial shares of dense arithmetic and of all else, from one and four threads of a Raspberry Pi 4."""
    shares_NF = np.array([_shares(name) for name in THREAD_NETWORKS])
    ratios_N = np.array([NCNN_MS[name][1] / NCNN_MS[name][0] for name in THREAD_NETWORKS])

    def fit(rows: list[int]) -> Array:
        work_NK = _by_kind(shares_NF[rows], [["dense MACs"], [*_DEPTHWISE, *_MOVED]])
        quarter = 1 / 4
        return (_fitted(work_NK, ratios_N[rows] - shares_NF[rows, 0], lowest=quarter) - quarter) / (1 - quarter)

    def predict(serial: Array, rows: list[int]) -> Array:
        factors = serial + (1 - serial) / 4
        return np.asarray(
            _by_kind(shares_NF[rows], [["dense MACs"], [*_DEPTHWISE, *_MOVED]]) @ factors + shares_NF[rows, 0]
        )

    built_in = thread_factors(4)
    serial = [(float(built_in[COUNTS.index(name)]) - 0.25) / 0.75 for name in ("dense MACs", "depthwise MACs")]
    return _judged("threads: serial share, dense and other", ratios_N, np.array(serial), fit, predict)


def board_law() -> Law:
    """Time of a Raspberry Pi 5 over that of a Raspberry Pi 4, each at its top clock, with one thread in fp32."""
    clock = clock_factor(BUILT_IN_BOARDS["pi4"].clock_share, 1500, NCNN_PI4_MHZ)
    ratios_N = np.array([FP16_GAIN * clock * NCNN_MS[name][2] / NCNN_MS[name][0] for name in SEPARABLE_NETWORKS])
    return _constant_law("Pi 5 over Pi 4: time", ratios_N, BUILT_IN_BOARDS["pi5"].time)


def checks() -> dict[str, float]:
    """Published figures that had no part in a fit, beside what the laws give."""
    pi4, pi5 = ([_four_over_one(name, board) for name in SEPARABLE_NETWORKS] for board in ("pi4", "pi5"))
    tensorflow = [pi5_ms / pi4_ms for pi4_ms, pi5_ms in TENSORFLOW_MS.values()]
    on_pi5 = [_four_over_one(name, "pi5") for name in THREAD_NETWORKS]
    law = [float(_shares(name) @ thread_factors(4)) for name in THREAD_NETWORKS]
    return {
        "four threads over one, 10 separable networks, Pi 4": _geometric_mean(pi4),
        "four threads over one, 10 separable networks, Pi 5": _geometric_mean(pi5),
        "mean error of the law of threads on a Pi 5, 7 networks": float(np.abs(np.array(law) / on_pi5 - 1).mean()),
        "Pi 5 over Pi 4, TensorFlow, two networks": _geometric_mean(tensorflow),
        "int8 over fp32, Pi 4, mean of MLPerf's and ncnn's": _int8_on_pi4(),
        "int8 over fp32, Pi 5, mean of ncnn's (against fp32) and ExecuTorch's": _int8_on_pi5(),
        "int8 over fp32 of MLPerf, 21 networks": _geometric_mean(_mlperf_ratios()),
    }


def _int8_laws() -> list[Law]:
    names = tuple(MLPERF_MS)
    ratios_N = _mlperf_ratios()
    # What each kind has of the time of four threads, which these runs had.
    work_NF = np.array([_shares(name) for name in names]) * thread_factors(4)
    work_NF /= work_NF.sum(1, keepdims=True)
    kinds = [_DEPTHWISE, ["dense MACs", *_MOVED]]

    def fit(rows: list[int]) -> Array:
        return _fitted(_by_kind(work_NF[rows], kinds), ratios_N[rows] - work_NF[rows, 0], lowest=0.05)

    def predict(factors: Array, rows: list[int]) -> Array:
        return np.asarray(_by_kind(work_NF[rows], kinds) @ factors + work_NF[rows, 0])

    built_in = [float(int8_factors()[COUNTS.index(name)]) for name in ("depthwise MACs", "dense MACs")]
    return [
        _judged("int8: factor, depthwise and other", ratios_N, np.array(built_in), fit, predict),
        _constant_law("int8: one factor for all, for comparison", ratios_N, _geometric_mean(ratios_N)),
    ]


_DEPTHWISE = [name for name in COUNTS if name.startswith("depthwise")]
_MOVED = [name for name in COUNTS if name not in ("operations", "dense MACs", *_DEPTHWISE)]


def _judged(
    name: str,
    ratios_N: Array,
    built_in: Array,
    fit: Callable[[list[int]], Array],
    predict: Callable[[Array, list[int]], Array],
) -> Law:
    rows = list(range(len(ratios_N)))
    left_out = [
        float(predict(fit([other for other in rows if other != row]), [row])[0] / ratios_N[row] - 1) for row in rows
    ]
    return Law(
        name=name,
        networks=len(rows),
        built_in=tuple(built_in.tolist()),
        fitted=tuple(fit(rows).tolist()),
        error=float(np.abs(predict(built_in, rows) / ratios_N - 1).mean()),
        left_out_error=float(np.abs(left_out).mean()),
        worst=float(np.abs(left_out).max()),
    )


def _constant_law(name: str, ratios_N: Array, built_in: float) -> Law:
    def fit(rows: list[int]) -> Array:
        return np.array([_geometric_mean(ratios_N[rows])])

    def predict(factor: Array, rows: list[int]) -> Array:
        return np.repeat(factor, len(rows))

    return _judged(name, ratios_N, np.array([built_in]), fit, predict)


def _fitted(work_NK: Array, ratios_N: Array, *, lowest: float) -> Array:
    """The factors, from `lowest` to 1, with the smallest sum of squared relative errors."""
    found = lsq_linear(work_NK / ratios_N[:, None], np.ones(len(ratios_N)), bounds=(lowest, 1))
    return np.asarray(found.x)


def _by_kind(shares_NF: Array, kinds: Sequence[Sequence[str]]) -> Array:
    """Shares of some counts together: shape (N, kinds)."""
    return np.stack([shares_NF[:, [COUNTS.index(name) for name in names]].sum(1) for names in kinds], axis=1)


def _shares(name: str) -> Array:
    """What each of the `COUNTS` has of a network's time on a Raspberry Pi 4 with one thread, shape (F,)."""
    priced = graph_counts(published_graph(name)) * _prices()
    return np.asarray(priced / priced.sum())


def _prices() -> Array:
    return fitted_model(published_latencies()).ms_per_count


def _four_over_one(name: str, board: str) -> float:
    one_ms, four_ms = NCNN_MS[name][:2] if board == "pi4" else NCNN_MS[name][2:]
    return four_ms / one_ms


def _mlperf_ratios() -> Array:
    return np.array([int8_ms / fp32_ms for fp32_ms, int8_ms in MLPERF_MS.values()])


def _int8_on_pi4() -> float:
    return _geometric_mean([_geometric_mean(_mlperf_ratios()), _geometric_mean(NCNN_INT8["pi4"])])


def _int8_on_pi5() -> float:
    return _geometric_mean([_geometric_mean(NCNN_INT8["pi5"]) / FP16_GAIN, EXECUTORCH_PI5_INT8])


def _geometric_mean(values: Sequence[float] | Array) -> float:
    return float(np.exp(np.log(np.asarray(values)).mean()))


def _lines(found: Sequence[Law]) -> list[str]:
    table = TextTable(
        Column(title="law", width=42, left=True),
        Column(title="networks", width=8),
        Column(title="built in", width=13),
        Column(title="fitted", width=13),
        Column(title="error", width=6, form=".1%"),
        Column(title="left out", width=8, form=".1%"),
        Column(title="worst", width=6, form=".1%"),
    )
    numbers: Mapping[str, tuple[str, str]] = {
        law.name: (", ".join(f"{x:.3f}" for x in law.built_in), ", ".join(f"{x:.3f}" for x in law.fitted))
        for law in found
    }
    rows = [
        table.row(law.name, law.networks, *numbers[law.name], law.error, law.left_out_error, law.worst) for law in found
    ]
    return [table.head, *rows]


if __name__ == "__main__":
    run(main)
