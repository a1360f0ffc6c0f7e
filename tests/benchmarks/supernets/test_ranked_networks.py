from __future__ import annotations

from benchmarks.supernets.ranked_networks import networks_at_random
from evaluation.splits import Splits
from search_space.counts import count
from tests.benchmarks.conftest import SPACE


def test_random_networks_are_different_and_in_the_order_of_their_macs(splits: Splits) -> None:
    networks = networks_at_random(SPACE, splits, 5, seed=0)
    assert len(set(networks.architectures)) == 5
    assert list(networks.macs) == sorted(networks.macs)
    assert networks.macs == tuple(count(SPACE.graph(item.operators)).macs for item in networks.architectures)
    assert networks.known == {}


def test_the_seed_decides(splits: Splits) -> None:
    first, again, other = (networks_at_random(SPACE, splits, 5, seed=seed) for seed in (0, 0, 1))
    assert first.architectures == again.architectures != other.architectures
