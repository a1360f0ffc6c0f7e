import numpy as np
import pytest

from benchmarks.early_exits.streaming import SHARES, StreamingConfig, confidences, cut_network, thresholds_for
from devices.replay import ReplayDevice
from search_space.spaces import space_named


def test_thresholds_let_the_wanted_shares_leave() -> None:
    confidence_EN = np.random.default_rng(0).uniform(0.1, 1, (2, 3000))
    for shares in SHARES.values():
        first, second = thresholds_for(confidence_EN, shares)
        leave_N = confidence_EN[0] > first
        assert leave_N.mean() == pytest.approx(shares[0], abs=1e-3)
        assert (confidence_EN[1] > second)[~leave_N].mean() == pytest.approx(shares[1], abs=1e-3)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_stream_takes_all_ways(precision: str) -> None:
    config = StreamingConfig(images=12).quickened()
    network = cut_network(space_named("fbnet-micro"), precision, "x86_64", config)  # type: ignore[arg-type]
    assert confidences(network.segments[:-1], network.images_NCHW).shape == (2, 12)
    found = ReplayDevice(lambda files: float(len(files))).stream(
        network.segments, network.thresholds["a third each"], network.images_NCHW
    )
    assert set(found.ways) == {0, 1, 2}
    assert found.shares == pytest.approx((1 / 3, 1 / 3, 1 / 3), abs=0.1)
