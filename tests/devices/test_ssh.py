import numpy as np
import pytest

from devices.device import MeasurementError
from devices.measurement import MeasureSettings
from devices.onnx_graphs import random_weights, to_onnx
from devices.ssh import SshDevice
from search_space.spaces import space_named

QUICK = MeasureSettings(warmup_runs=1, min_runs=5, max_runs=20, min_seconds=0.0)


def micro_model(operator):
    graph = space_named("fbnet-micro").graph((operator,) * 8)
    return to_onnx(graph, random_weights(graph, np.random.default_rng(0)))


def test_it_measures_networks_and_survives_bad_models(board):
    with SshDevice(board.address, QUICK, board.options) as device:
        assert not device.shares_host
        described = device.describe()
        assert described.name == str(board.address)
        assert described.runtime.startswith("onnxruntime ")
        small = device.measure(micro_model("skip"))
        with pytest.raises(MeasurementError, match="could not measure"):
            device.measure(b"no model")
        large = device.measure(micro_model("k5_e6"))
        assert 0 < small.latency_ms < large.latency_ms
        assert (large.latency_source, large.energy_source, large.board) == ("measured", "modelled", described.label)
        assert len(board.agents()) == 1
        assert list((board.board_folder / "models").iterdir()) == []
    board.wait_for_end_of_agents(2)
