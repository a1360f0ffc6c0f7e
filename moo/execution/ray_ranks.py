"""Pre-training of which several workers under Ray do their shares of each step, each with a GPU or some CPU cores."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import ray

from dnas.pretraining import PretrainRecord, PretrainSettings
from dnas.ranks import RankLostError, joined, opened_store, store_at
from evaluation.training.allocator import keep_freed_memory
from moo.execution.machinery import MachineryError, Patience, is_want
from moo.execution.news import Watch
from moo.execution.nodes import Nodes
from moo.execution.pretraining import pretraining_epochs
from moo.execution.ray_images import OfferedImages
from moo.execution.ray_session import POLL_SECONDS, RayDiedError, RaySession, cores_of_node, pretraining_device
from moo.trials import WorkerSetup
from moo.workers import share
from search_space.boundary.text import last_line

GATHERING_SECONDS = 60.0
"""After the first worker is there, how long the others are waited for; fewer do the same work, more slowly."""
OWN_ADDRESS = "127.0.0.1"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RankPlace:
    """Where a rank is."""

    node: str
    """Id of its node."""
    address: str
    """Of its node, for others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meeting:
    """How a rank finds the others."""

    rank: int
    ranks: int
    on_node: int
    """Ranks on its node, which share its cores."""
    own: str
    """Address at which others reach it."""
    first: str
    """That of the first rank."""
    port: int
    """At which the first rank listens."""


class RankedPretraining:
    """Ranks of a pre-training under Ray."""

    def __init__(self, session: RaySession, nodes: Nodes, ranks: int, watch: Watch, *, on_gpus: bool) -> None:
        """Start no rank yet.

        Args:
            session: of the Ray that runs.
            nodes: of it.
            ranks: at most; fewer where not all have a place soon.
            watch: is told None now and then.
            on_gpus: whether each has a GPU.
        """
        self._session = session
        self._nodes = nodes
        self._ranks = ranks
        self._watch = watch
        self._on_gpus = on_gpus
        self._actors: list[Any] = []

    def epochs(
        self, setup: Any, images: OfferedImages, settings: PretrainSettings, state: bytes | None
    ) -> Iterator[tuple[PretrainRecord, bytes]]:
        """A record and the saved state after each epoch, until something dies; no rank is left afterwards.

        Args:
            setup: reference to that of all workers.
            images: that they need.
            settings: of pre-training.
            state: a saved one.

        Raises:
            RayDiedError: if Ray or a rank died.
            MachineryError: if a rank wanted memory or the like, or none had a place for a quarter of an hour.
        """
        try:
            with self._session.checked():
                self._start(images)
            places = self._gather()
            with self._session.checked():
                streams = self._begin(places, (setup, settings, state))
            first = streams[0]
            while True:
                epoch = None
                with self._session.checked():
                    ready, _ = ray.wait(streams, num_returns=1, timeout=POLL_SECONDS, fetch_local=False)
                    for stream in ready:
                        try:
                            epoch = _result(stream)
                        except StopIteration:
                            if stream is first:
                                return
                            streams.remove(stream)
                if epoch is None:
                    self._watch(None)
                else:
                    yield epoch
        finally:
            if self._session.dead_part is None:
                for actor in self._actors:
                    ray.kill(actor)

    def _start(self, images: OfferedImages) -> None:
        machines = [node.cpus for node in self._nodes.usable] or [self._nodes.cpus]
        on_each = -(-self._ranks // len(machines))
        cores = max(1, max(machines) // on_each)
        # As many cores as threads, so that ranks spread over machines; less where all could not run at once.
        fits = cores * on_each <= min(machines) and not self._on_gpus
        place = {
            "num_cpus": cores if fits else share(self._nodes.cpus, self._ranks) or 1,
            "num_gpus": 1 if self._on_gpus else 0,
            **self._nodes.placement,
        }
        self._actors = [_new_rank.options(**place).remote(images) for _ in range(self._ranks)]

    def _gather(self) -> list[tuple[Any, RankPlace]]:
        """Ranks that have a place, node by node; the others are given up."""
        waiting = {actor.place.options(name="pre-training").remote(): actor for actor in self._actors}
        found: list[tuple[Any, RankPlace]] = []
        patience, since = Patience(), 0.0
        while waiting and not (found and time.monotonic() > since + GATHERING_SECONDS):
            with self._session.checked():
                ready, _ = ray.wait(list(waiting), num_returns=1, timeout=POLL_SECONDS)
                for reference in ready:
                    found.append((waiting.pop(reference), _got(reference)))
                if not found:
                    patience.check()
                    since = time.monotonic()
            self._watch(None)
        for actor in waiting.values():
            ray.kill(actor)
            self._actors.remove(actor)
        if waiting:
            _LOG.warning("Pre-training has %d of %d workers: the others had no place.", len(found), self._ranks)
        else:
            _LOG.info("%d workers share pre-training", len(found))
        return sorted(found, key=lambda item: item[1].node)

    def _begin(self, places: Sequence[tuple[Any, RankPlace]], task: tuple[Any, PretrainSettings, bytes | None]) -> Any:
        on_node = Counter(place.node for _, place in places)
        one_machine = len(on_node) == 1
        addresses = [OWN_ADDRESS if one_machine else place.address for _, place in places]
        port = _got(places[0][0].listen.remote(addresses[0]))
        state = ray.put(task[-1])
        streams = []
        for rank, ((actor, place), own) in enumerate(zip(places, addresses, strict=True)):
            meeting = Meeting(
                rank=rank,
                ranks=len(places),
                on_node=on_node[place.node],
                own=own,
                first=addresses[0],
                port=port,
            )
            options = {"num_returns": "streaming", "name": f"pre-training, part {rank + 1} of {len(places)}"}
            streams.append(actor.epochs.options(**options).remote(meeting, *task[:-1], state))
        return streams


def _result(stream: Any) -> Any:
    return _got(next(stream))


def _got(reference: Any) -> Any:
    """What a rank gives.

    Raises:
        RayDiedError: if it died, or lost another one.
        MachineryError: if it wanted memory or the like.
    """
    try:
        return ray.get(reference)
    except ray.exceptions.RayActorError:
        raise RayDiedError(
            "A worker of pre-training died: it was killed, as when memory runs out, or crashed."
        ) from None
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, RankLostError):
            raise RayDiedError("A worker of pre-training lost another one.") from None
        if is_want(error):
            raise MachineryError(f"pre-training could not go on: {last_line(str(error))}.") from None
        raise


class Rank:
    """One process of pre-training."""

    def __init__(self, images: OfferedImages) -> None:
        self._images = images
        self._store: Any = None

    def place(self) -> RankPlace:
        """Where it is, once it has all images."""
        keep_freed_memory()
        self._images.have()
        return RankPlace(node=ray.get_runtime_context().get_node_id(), address=ray.util.get_node_ip_address())

    def listen(self, address: str) -> int:
        """Let the others find it; returns the port.

        Args:
            address: of this machine, at which alone it listens.
        """
        self._store, port = opened_store(address)
        return port

    def epochs(
        self, meeting: Meeting, setup: WorkerSetup, settings: PretrainSettings, state: bytes | None
    ) -> Iterator[tuple[PretrainRecord, bytes]]:
        """Do its share of all epochs; the first rank tells of them."""
        cores = max(1, cores_of_node() // meeting.on_node)
        device = pretraining_device(deterministic=setup.deterministic, cores=cores)
        store = store_at(meeting.first, meeting.port) if self._store is None else self._store
        others = joined(store, rank=meeting.rank, count=meeting.ranks, device=device, address=meeting.own)
        with others as ranks:
            yield from pretraining_epochs(setup, settings, state, device, ranks)


_new_rank: Any = ray.remote(Rank)
