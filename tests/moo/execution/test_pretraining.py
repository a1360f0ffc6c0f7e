"""A supernet's first weights, where they come from another."""

from dataclasses import replace

import torch

from dnas.supernets.build import build_supernet
from moo.execution.pretraining import supernet_bytes, warm_start
from tests.moo.conftest import TINY


def test_weights_are_taken_over_where_shapes_agree_and_the_classifier_is_anew() -> None:
    torch.manual_seed(1)
    other = build_supernet(replace(TINY, last_channels=24, classes=9), "shared")
    torch.manual_seed(2)
    supernet = build_supernet(replace(TINY, input_size=16), "shared")
    fresh = {name: value.clone() for name, value in supernet.state_dict().items()}
    taken = warm_start(supernet, supernet_bytes(other.state_dict()))
    source, now = other.state_dict(), supernet.state_dict()
    kept = {"last.weight", "last.scale", "last.shift", "classifier.weight", "classifier.bias"}
    assert kept <= fresh.keys()
    for name, value in now.items():
        assert torch.equal(value, fresh[name] if name in kept else source[name]), name
    assert taken == len(fresh) - len(kept)


def test_the_classifier_is_anew_even_where_it_has_as_many_classes() -> None:
    torch.manual_seed(1)
    other = build_supernet(TINY, "shared")
    torch.manual_seed(2)
    supernet = build_supernet(TINY, "shared")
    before = supernet.state_dict()["classifier.weight"].clone()
    warm_start(supernet, supernet_bytes(other.state_dict()))
    assert torch.equal(supernet.state_dict()["classifier.weight"], before)
