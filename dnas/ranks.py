"""Processes that share the paths of a step of pre-training: what they tell each other, and how gradients are summed.

Gradients are summed in order of path, whoever computed them, so that weights depend on the number of paths and not on
that of ranks. Start with `PathGradients`.
Shape suffixes: R ranks, M paths of one rank, N numbers of all weights, n of a rank's part of them, P parameters.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store


EXCHANGE_SECONDS = 1800.0
"""That a rank waits for another, which is at work on a step, or hangs; one that died is noticed at once."""


class RankLostError(RuntimeError):
    """Another rank died, or could not be reached."""


class Ranks(Protocol):
    """The processes of one training, as one of them sees them; all call the same methods in the same order."""

    rank: int
    """Number of this one, from 0."""
    count: int
    """How many there are."""

    def gathered(self, own: Tensor) -> Tensor:
        """What each has, (R, ...), in order of rank.

        Raises:
            RankLostError: if another rank died.
        """

    def swapped(self, parts_R: Tensor) -> Tensor:
        """What each has for this one, (R, ...), in order of rank, of (R, ...) that this one has for each.

        Raises:
            RankLostError: if another rank died.
        """


class OneRank:
    """A single process; implements `Ranks`."""

    rank = 0
    count = 1

    def gathered(self, own: Tensor) -> Tensor:
        """See `Ranks.gathered`."""
        return own[None]

    def swapped(self, parts_R: Tensor) -> Tensor:
        """See `Ranks.swapped`."""
        return parts_R


ALONE = OneRank()


class ProcessRanks:
    """Ranks of `torch.distributed`; implements `Ranks`.

    What is on a GPU goes from one to another by NCCL, and all else by Gloo through memory of the host.
    """

    def __init__(self, group: dist.ProcessGroup, *, direct: str) -> None:
        """Use a group that has been joined; see `joined`.

        Args:
            group: of all ranks.
            direct: type of the devices whose tensors need not go through memory of the host.
        """
        self.rank = group.rank()
        self.count = group.size()
        self._group = group
        self._direct = direct

    def gathered(self, own: Tensor) -> Tensor:
        """See `Ranks.gathered`."""
        here = self._reachable(own)
        all_R = here.new_empty((self.count, *here.shape))
        with _loss_noticed():
            dist.all_gather(list(all_R.unbind()), here, group=self._group)
        return all_R.to(own.device)

    def swapped(self, parts_R: Tensor) -> Tensor:
        """See `Ranks.swapped`."""
        here_R = self._reachable(parts_R)
        received_R = torch.empty_like(here_R)
        with _loss_noticed():
            dist.all_to_all_single(received_R, here_R, group=self._group)
        return received_R.to(parts_R.device)

    def _reachable(self, tensor: Tensor) -> Tensor:
        return (tensor if tensor.device.type == self._direct else tensor.cpu()).contiguous()


def opened_store(address: str) -> tuple[Store, int]:
    """Where all ranks find each other, in this process, and the port at which it listens.

    Args:
        address: of this machine, at which alone it listens.
    """
    listening = socket.create_server((address, 0))
    port = int(listening.getsockname()[1])
    return _store(address, port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach()), port


def store_at(address: str, port: int) -> Store:
    """The same in another process."""
    return _store(address, port, is_master=False)


def _store(address: str, port: int, **options: Any) -> Store:
    with _loss_noticed():
        return dist.TCPStore(address, port, timeout=timedelta(seconds=EXCHANGE_SECONDS), **options)  # type: ignore[attr-defined]


@contextmanager
def joined(store: Store, *, rank: int, count: int, device: torch.device, address: str) -> Iterator[ProcessRanks]:
    """Be one of several ranks, until the end of the block.

    A block that raises does not take leave of the others, which would hide its error behind theirs: its process ends.

    Args:
        store: where all ranks find each other.
        rank: number of this one, from 0.
        count: how many there are.
        device: that this one trains on.
        address: at which the others reach this one; Gloo would take that of this machine's name, which may be known to
            this machine alone.

    Raises:
        RankLostError: if the others do not come.
    """
    if (interface := interface_of(address)) is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
    by_nccl = device.type == "cuda" and dist.is_nccl_available()
    with _loss_noticed():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if by_nccl else "gloo",
            store=store,
            rank=rank,
            world_size=count,
            timeout=timedelta(seconds=EXCHANGE_SECONDS),
        )
    group = dist.group.WORLD
    assert group is not None, "a group that was joined is there"
    yield ProcessRanks(group, direct="cuda" if by_nccl else "cpu")
    dist.destroy_process_group()


def interface_of(address: str) -> str | None:
    """Name of the network interface that has an address; None where that cannot be told."""
    if os.name != "posix":
        return None
    import fcntl

    ask = 0x8915 if os.uname().sysname == "Linux" else 0xC0206921
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with suppress(OSError):
                answer = fcntl.ioctl(asking, ask, struct.pack("256s", name.encode()[:15]))
                if socket.inet_ntoa(answer[20:24]) == address:
                    return name
    return None


@contextmanager
def _loss_noticed() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RankLostError(f"another process of pre-training was lost ({error}).") from error


@dataclass(frozen=True, slots=True)
class PathPlace:
    """Who does a path of a step."""

    rank: int
    place: int
    """Among the paths that this rank does in the step, which are in order of path."""


def shared_out(works: Sequence[int], ranks: int) -> list[PathPlace]:
    """Who does each path, so that all ranks have about the same work: the largest paths first, to who has least.

    Source: Graham, "Bounds on Multiprocessing Timing Anomalies" (1969), section 5.
    Departure: no rank has more paths than it takes.

    Args:
        works: of each path, in any unit.
        ranks: how many there are.
    """
    most = -(-len(works) // ranks)
    paths_R: list[list[int]] = [[] for _ in range(ranks)]
    loads_R = [0] * ranks
    for path in sorted(range(len(works)), key=lambda path: -works[path]):
        free = (rank for rank in range(ranks) if len(paths_R[rank]) < most)
        rank = min(free, key=lambda rank: (loads_R[rank], len(paths_R[rank])))
        paths_R[rank].append(path)
        loads_R[rank] += works[path]
    of_path = {
        path: PathPlace(rank, place) for rank, paths in enumerate(paths_R) for place, path in enumerate(sorted(paths))
    }
    return [of_path[path] for path in range(len(works))]


class PathGradients:
    """Mean gradients of the paths of a step, of which each rank does its share.

    A parameter that no path used keeps the gradient None, so that neither momentum nor weight decay changes it.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], ranks: Ranks, paths: int) -> None:
        """Keep nothing yet.

        Args:
            parameters: of the weights, in an order that all ranks share.
            ranks: that share the paths.
            paths: of a step at most.
        """
        self._parameters = parameters
        self._ranks = ranks
        self._used_MP: list[list[bool]] = []
        if ranks.count == 1:
            return
        self._most = -(-paths // ranks.count)
        numbers = sum(parameter.numel() for parameter in parameters)
        part = -(-numbers // ranks.count)
        first = parameters[0]
        self._rows_MN = torch.zeros(self._most, part * ranks.count, dtype=first.dtype, device=first.device)
        self._row_views = [self._views(row_N) for row_N in self._rows_MN]
        self._sum_N = torch.zeros_like(self._rows_MN[0])
        self._sum_views = self._views(self._sum_N)

    def keep(self) -> None:
        """Keep the gradients of one more path of this rank."""
        if self._ranks.count == 1:
            # Autograd adds them up, in order of path.
            return
        row = len(self._used_MP)
        gradients = [parameter.grad for parameter in self._parameters]
        used = [gradient is not None for gradient in gradients]
        self._rows_MN[row].zero_()
        torch._foreach_copy_(
            list(itertools.compress(self._row_views[row], used)), [one for one in gradients if one is not None]
        )
        self._used_MP.append(used)
        for parameter in self._parameters:
            parameter.grad = None

    def share(self, places: Sequence[PathPlace]) -> None:
        """Give each parameter the mean gradient of a step's paths, on all ranks alike.

        Args:
            places: of all paths, which the ranks have kept.
        """
        if self._ranks.count == 1:
            if len(places) > 1:
                torch._foreach_div_([one.grad for one in self._parameters if one.grad is not None], len(places))
            return
        used_P = self._used()
        for row in range(len(self._used_MP), self._most):
            self._rows_MN[row].zero_()
        self._used_MP = []
        count = self._ranks.count
        # Each rank sums a part of the numbers: less is sent than if each had all gradients of all paths.
        parts_RMn = self._rows_MN.view(self._most, count, -1).transpose(0, 1)
        received_RMn = self._ranks.swapped(parts_RMn)
        sum_n = torch.zeros_like(received_RMn[0, 0])
        for path in places:
            sum_n += received_RMn[path.rank, path.place]
        torch._foreach_div_([sum_n], len(places))
        self._sum_N.copy_(self._ranks.gathered(sum_n).view(-1))
        for parameter, mean, used in zip(self._parameters, self._sum_views, used_P, strict=True):
            parameter.grad = mean if used else None

    def _used(self) -> list[bool]:
        """Of each parameter, whether any path used it: told through the host, which need not wait for a GPU."""
        own_MP = torch.zeros(self._most, len(self._parameters), dtype=torch.uint8)
        for row, used in enumerate(self._used_MP):
            own_MP[row] = torch.tensor(used)
        flags: list[bool] = self._ranks.gathered(own_MP).flatten(0, 1).amax(0).bool().tolist()
        return flags

    def _views(self, flat_N: Tensor) -> list[Tensor]:
        """Of each parameter its place in a row of all numbers, laid out in memory as it is itself."""
        sizes = [parameter.numel() for parameter in self._parameters]
        padding = len(flat_N) - sum(sizes)
        *places, _ = flat_N.split_with_sizes([*sizes, padding])
        return [
            place.as_strided(parameter.size(), parameter.stride())
            for place, parameter in zip(places, self._parameters, strict=True)
        ]
