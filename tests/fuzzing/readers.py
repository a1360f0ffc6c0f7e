"""Every reader of what others say, with valid samples. Start with `readers`."""

from __future__ import annotations

import io
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from PIL import Image

from devices.agent.ssh_address import BoardAddress
from devices.configuration import RuntimeConfiguration
from devices.cost_tables.family import CostTables
from devices.cost_tables.hw_nas_bench import FBNET_METRICS, NASBENCH201_METRICS, HWNASBenchAPI
from devices.cost_tables.plain_pickle import read_plain_pickle
from devices.cost_tables.readers import read_any_cost_tables, split_table_paths
from devices.measurement import Measurement
from devices.meters.spec import MeterSpec
from dnas.losses import Coefficients
from evaluation.data.pictures import read_picture, upright_size
from evaluation.data.rules import LATEST_RULES
from evaluation.pretrained.sources import pretrained_named
from evaluation.training.config import TrainConfig
from evaluation.training.folder import TrainFolder, read_result
from evaluation.training.run import read_weights
from moo.analysis.adaptive_selection import read_adaptive_candidates
from moo.analysis.selection import read_front, three_choices
from moo.config import SearchConfig
from moo.storage.archive import Archive
from moo.storage.choices import points_to_measure, source_front
from moo.storage.run_folder import RunFolder
from moo.storage.search_state import read_state
from moo.storage.store import new_store, open_store, read_store
from moo.storage.trained_network import TrainedNetwork
from moo.trials import CoefficientTrial, EvaluatedArchitecture, TrialResult
from search_space.architectures import architecture_from_indices, parse_architecture
from search_space.boundary.reading import parse_json
from search_space.boundary.sealing import sealed
from search_space.boundary.text import code, command_line, html_text, markdown
from search_space.onnx_files import weight_shapes
from search_space.spaces import PRESET_FOLDER, read_space, space_named
from tests.fuzzing.board_readers import board_readers
from tests.fuzzing.reader import MEASUREMENT, Reader, of_file, of_json
from tests.moo.adaptive_points import STREAMED, adaptive_point, static_point
from tests.moo.conftest import ORIGIN, TABLE, TINY


def readers() -> tuple[Reader, ...]:
    """All of them."""
    return (*_tables(), *_spaces(), *_runs(), *_trainings(), *board_readers(), *_pictures(), *_texts())


def _tables() -> Iterator[Reader]:
    def use(tables: CostTables) -> object:
        return [(table.latency_of((0, 1, 2)), table.highest_mj(), table.board) for table in tables]

    family = CostTables([TABLE]).to_json()
    yield Reader(
        "cost table, JSON",
        of_json(family, {"tables": [family, family | {"threads": 2}]}),
        of_file("table.json", lambda path: use(read_any_cost_tables(path, TINY))),
    )
    large = space_named("fbnet-cifar")
    line = " ".join(f"{value:.6f}" for value in np.linspace(0.001, 0.01, 9))
    names = "ir_k3_e1 ir_k3_s2 ir_k3_e3 ir_k3_e6 ir_k5_e1 ir_k5_s2 ir_k5_e3 ir_k5_e6 skip"
    lines = "\n".join([line] * 22)
    yield Reader(
        "cost table, text",
        [lines.encode(), f"{names}\n{lines}".encode()],
        of_file("table.txt", lambda path: read_any_cost_tables(path, large)),
    )
    cell = "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"
    configs = [{"C": 16, "N": 5, "arch_str": cell, "num_classes": 10} for _ in range(3)]
    cells = {"nasbench201": {"cifar10": {name: [1.0, 2.0, 3.0] for name in NASBENCH201_METRICS} | {"config": configs}}}
    arrays = {"nasbench201": {"cifar10": {name: np.arange(3.0) for name in NASBENCH201_METRICS} | {"config": configs}}}
    blocks = {"fbnet": {name: {"a": 1.0, "b": np.float64(2.0)} for name in FBNET_METRICS}}

    def use_cells(path: Path) -> object:
        api = HWNASBenchAPI(path, "nasbench201")
        return api.query_by_index(1, "cifar10"), api.get_net_config(1, "cifar10")

    yield Reader(
        "HW-NAS-Bench, cells",
        [pickle.dumps(one, protocol) for one in (cells, arrays) for protocol in range(6)],
        of_file("tables.pickle", use_cells),
    )
    yield Reader(
        "HW-NAS-Bench, FBNet",
        [pickle.dumps(blocks, protocol) for protocol in range(6)],
        of_file("tables.pickle", lambda path: HWNASBenchAPI(path, "fbnet").get_op_lookup_tables()),
    )
    plain = {"a": [1, 2.5, None, True, 2**40], "b": ("text", b"bytes"), "c": {"d": {}}, "e": np.arange(6).reshape(2, 3)}
    yield Reader(
        "pickle",
        [pickle.dumps(plain, protocol) for protocol in range(6)],
        of_file("plain.pickle", lambda path: str(read_plain_pickle(path))[:100]),
    )


def _spaces() -> Iterator[Reader]:
    def use(path: Path) -> object:
        space = read_space(path)
        return space.layers, space.num_architectures, len(space.graph((space.operators[0],) * space.num_layers).nodes)

    yield Reader(
        "space, YAML", [path.read_bytes() for path in sorted(PRESET_FOLDER.glob("*.yaml"))], of_file("space.yaml", use)
    )
    own = {
        "name": "own",
        "input_size": 32,
        "classes": 3,
        "stem": {"channels": 8, "stride": 1},
        "last_channels": 16,
        "stages": [{"channels": 8, "layers": 2, "stride": 2}],
        "operators": ["k3_e1", "skip"],
    }
    yield Reader("space, JSON as YAML", of_json(own), of_file("space.yaml", use))
    yield Reader(
        "architecture",
        of_json(
            ["k3_e1", "skip", "skip"], {"architecture": {"space": "tiny", "id": "000", "operators": ["k3_e1"] * 3}}
        ),
        of_file("architecture.json", lambda path: parse_architecture(TINY, str(path))),
    )


def _runs() -> Iterator[Reader]:
    point = {
        "architecture": {"space": "tiny", "id": "0", "operators": ["skip"]},
        "error": 0.1,
        "latency_ms": 1.0,
        "energy_mj": 2.0,
        "latency_source": "measured",
        "energy_source": "modelled",
        "error_low": 0.05,
        "params": 100,
        "configuration": {"runtime": "ort", "threads": 1, "frequency_mhz": None, "precision": "fp32"},
        "expected": {"error": 0.1, "low": 0.05, "high": 0.2, "images": 100, "split": "test"},
        "same_as": {"id": "1", "configuration": "ort 1t fp32"},
        "beats_guessing": True,
    }
    yield Reader(
        "front.json",
        of_json([point], [point, point | {"error": 0.2, "latency_ms": 0.5}]),
        of_file("front.json", lambda path: three_choices(read_front(path.parent))),
    )
    adaptive = [point.to_json() for point in (adaptive_point(streamed=STREAMED), static_point(0.3, 1.0))]
    yield Reader(
        "front_adaptive.json",
        of_json(adaptive, adaptive[:1], [sealed(item) for item in adaptive]),
        of_file("front_adaptive.json", lambda path: three_choices(read_adaptive_candidates(path.parent))),
    )
    config = {"settings": SearchConfig().to_json(), "origin": ORIGIN.to_json()}
    yield Reader(
        "a run's config.json",
        of_json(config),
        of_file("config.json", lambda path: RunFolder(path.parent).read_config()),
    )
    yield Reader(
        "state.json",
        of_json({"search": {"ended": False, "reached": "after generation 3 of 8"}}),
        of_file("state.json", lambda path: read_state(RunFolder(path.parent))),
    )
    network = TrainedNetwork(
        name="000",
        baseline=False,
        error=0.1,
        top1=0.9,
        top3=0.95,
        epochs=3.0,
        seconds=1.0,
        fine_tuned=False,
        macs=1,
        params=1,
        files=(),
    )
    yield Reader(
        "measurement", of_json(MEASUREMENT.to_json()), lambda _, content: Measurement.from_json(parse_json(content))
    )
    yield Reader(
        "trained network", of_json(network.to_json()), lambda _, content: TrainedNetwork.from_json(parse_json(content))
    )
    yield Reader("store, file", [_store()], of_file("search.sqlite", _used_store))
    yield Reader("store, rows", of_json(MEASUREMENT.to_json(), network.to_json(), {"stage": "1"}), _rows_of_store)


def _store() -> bytes:
    with _folder() as folder:
        path = folder / "search.sqlite"
        store = new_store(path)
        trial = CoefficientTrial(0, 0, Coefficients(1.0, 1.0, 1.0, 1.0))
        found = EvaluatedArchitecture(
            indices=(0, 0, 0), error=0.1, cross_entropy=0.5, latency_ms=1.0, energy_mj=1.0, params=9
        )
        store.add_result(TrialResult(trial=trial, architectures=(found,), chosen=0, theta=None, seconds=1.0), TINY)
        store.add_event("finished", seconds=61.2)
        store.close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode = DELETE")
        return path.read_bytes()


@contextmanager
def _folder() -> Iterator[Path]:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def _used_store(path: Path) -> object:
    store = read_store(path)
    try:
        return (
            store.trials(),
            store.trained(baselines=True),
            store.trained(baselines=False),
            store.events(),
            store.fill(Archive((1.0, 1.0, 1.0)), TINY),
            points_to_measure(store),
            source_front(store),
        )
    finally:
        store.close()


def _rows_of_store(folder: Path, content: bytes) -> object:
    path = folder / "rows.sqlite"
    for name in ("rows.sqlite", "rows.sqlite-wal", "rows.sqlite-shm"):
        (folder / name).unlink(missing_ok=True)
    path.write_bytes(_STORE or _remembered_store())
    text = content.decode("utf-8", "replace")
    store = open_store(path)
    connection = store._connection
    with closing(store), connection:
        architecture = architecture_from_indices(TINY, (0, 0, 0))
        connection.execute(
            "INSERT INTO measurements (architecture_id, latency_ms, energy_mj, board, date, content) "
            "VALUES (?, 1, 1, '', '', ?)",
            (architecture.id, text),
        )
        connection.execute(
            "INSERT INTO trained (name, baseline, error, top1, top3, date, content) VALUES ('000', 0, 0, 0, 0, '', ?)",
            (text,),
        )
        connection.execute("INSERT INTO events (date, kind, content) VALUES ('', 'measuring', ?)", (text,))
    return _used_store(path)


_STORE = b""


def _remembered_store() -> bytes:
    global _STORE
    _STORE = _STORE or _store()
    return _STORE


def _trainings() -> Iterator[Reader]:
    from tests.evaluation.training.test_origin import ORIGIN as TRAINING

    config = {
        "settings": TrainConfig(architecture="0", dataset="digits").to_json(),
        "origin": TRAINING.to_json(),
    }
    yield Reader(
        "a training's config.json",
        of_json(config),
        of_file("config.json", lambda path: TrainFolder(path.parent).read_config()),
    )
    result = {
        "epochs": 3.0,
        "top1": 0.9,
        "top3": 0.95,
        "selection_accuracy": 0.8,
        "macs": 1,
        "params": 1,
        "seconds": 1.0,
        "files": [{"precision": "fp32", "name": "model.onnx", "logits_difference": 0.0, "top1": 0.9, "error": 0.1}],
    }
    yield Reader(
        "result.json", of_json(result), of_file("result.json", lambda path: read_result(TrainFolder(path.parent)))
    )
    graph = TINY.graph(("k3_e1", "skip", "skip"))
    weights = {name: np.zeros(shape, np.float32) for name, shape in weight_shapes(graph).items()}
    yield Reader(
        "weights",
        [safetensors.numpy.save(weights)],
        of_file("weights.safetensors", lambda path: read_weights(path, graph)),
    )
    state = {"features.0.0.weight": np.zeros((8, 3, 3, 3), np.float32), "features.0.1.bias": np.zeros(8, np.float32)}
    yield Reader(
        "pre-trained weights, safetensors",
        [safetensors.numpy.save(state)],
        of_file("weights.safetensors", lambda path: pretrained_named(f"mobilenet-v3-small={path}")),
    )
    yield Reader(
        "pre-trained weights, PyTorch",
        [_torch(state, new=True), _torch(state, new=False)],
        of_file("weights.pth", lambda path: pretrained_named(f"mobilenet-v3-small={path}")),
    )


def _torch(state: dict[str, Any], *, new: bool) -> bytes:
    buffer = io.BytesIO()
    tensors = {name: torch.from_numpy(value) for name, value in state.items()}
    torch.save(tensors, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


def _pictures() -> Iterator[Reader]:
    samples = []
    for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        buffer = io.BytesIO()
        Image.effect_mandelbrot((24, 16), (-2, -1, 1, 1), 20).convert("P" if form == "GIF" else "RGB").save(
            buffer, form
        )
        samples.append(buffer.getvalue())

    def use(_: Path, content: bytes) -> object:
        entry = {"bytes": content, "path": None}
        return upright_size(entry), read_picture(entry, rules=LATEST_RULES, least_side=8).image.size

    yield Reader("picture", samples, use)


def _texts() -> Iterator[Reader]:
    def words(read: Callable[[str], object]) -> Callable[[Path, bytes], object]:
        return lambda _, content: read(content.decode("utf-8", "replace"))

    yield Reader("configuration", [b"ort 4t 1500MHz int8", b"ort 1t fp32"], words(RuntimeConfiguration.parse))
    yield Reader(
        "meter's name", [b"ina219:0x40,shunt=0.1@board", b"shelly:http://192.168.1.20@here"], words(MeterSpec.parse)
    )
    yield Reader(
        "board's address",
        [b"ssh://pi@board:2222", b"ssh://pi@[::1]"],
        words(lambda text: str(BoardAddress.parse(text))),
    )
    yield Reader("table's name", [b"latency.txt,energy.txt"], words(split_table_paths))
    yield Reader(
        "architecture's name",
        [b"k3_e1,skip,skip", b"0_8_8", b"088"],
        words(lambda text: parse_architecture(TINY, text)),
    )
    yield Reader("space's name", [b"fbnet-micro@96", b"own.yaml"], words(lambda text: space_named(text)))
    yield Reader("text that is shown", [b"# a `b` [c](d)"], words(_is_shown))
    yield Reader("JSON", of_json(asdict(MEASUREMENT)), lambda _, content: parse_json(content))


def _is_shown(text: str) -> None:
    for show in (markdown, code, html_text):
        line = show(text)
        assert line.isprintable() or not line
        assert len(line) < 10_000
    assert command_line(text.split(" ")).isprintable()
