"""What pre-training that diverges does to a run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dnas.divergence import Divergence
from dnas.pretraining import PretrainRecord, PretrainSettings
from moo import events
from moo.execution.backend import InProcessBackend
from moo.search.artifacts import SearchFailedError, supernet_weights
from tests.moo.conftest import Prepare


class DivergingBackend(InProcessBackend):
    """Its first epoch diverges; `given_up` says whether for good."""

    given_up = False

    def pretrain(self, settings: PretrainSettings, state: bytes | None) -> Iterator[tuple[PretrainRecord, bytes]]:
        """See `moo.execution.backend.Backend.pretrain`."""
        pairs = super().pretrain(settings, state)
        for record, later in pairs:
            found = Divergence(epoch=1, loss=22.7, guessing=1.95, lr=None if self.given_up else 0.05)
            yield PretrainRecord(epoch=1, loss=22.7, accuracy=0.1, lr=0.1, divergence=found), later
            if not self.given_up:
                yield record, later
                yield from pairs
            return


def test_listeners_hear_of_a_divergence_and_the_run_goes_on(prepare_tiny: Prepare) -> None:
    ready = prepare_tiny()
    seen: list[events.Event] = []
    weights = supernet_weights(ready, DivergingBackend(ready.setup), seen.append)
    kinds = [type(event) for event in seen]
    assert kinds == [events.TrainingDiverged, events.PretrainEpoch, events.PretrainEpoch]
    assert isinstance(seen[0], events.TrainingDiverged)
    assert str(seen[0].divergence).startswith("diverged in epoch 1 (loss 22.7; guessing has 1.95)")
    assert ready.folder.supernet.read_bytes() == weights


def test_pretraining_that_diverges_for_good_ends_the_run_without_a_supernet(prepare_tiny: Prepare) -> None:
    ready = prepare_tiny(pretrain_lr=0.1)
    backend = DivergingBackend(ready.setup)
    backend.given_up = True
    rule = "pre-training diverged in epoch 1 .*: given up: choose a lower --pretrain-lr than 0.1"
    with pytest.raises(SearchFailedError, match=rule):
        supernet_weights(ready, backend, lambda event: None)
    assert not [path for path in Path(ready.folder.path).rglob("*") if path.is_file()]
