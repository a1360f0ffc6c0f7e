"""Cases of fuzzing in processes of their own: a hang or a bomb is a finding, not the end. Start with `findings`."""

from __future__ import annotations

import gc
import json
import os
import random
import resource
import select
import signal
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.turns import in_new_processes
from tests.fuzzing.mutations import mutated
from tests.fuzzing.reader import DOCUMENTED, Reader

LONGEST_SECONDS = 5.0
"""Of processor time."""
LARGEST_BYTES = 10**9
LONGEST_MESSAGE = 2000


class HungError(BaseException):
    """A case took too long; no reader catches it."""


@dataclass(frozen=True)
class Finding:
    """What a reader did that it should not."""

    reader: str
    seed: int
    what: str


def findings(make: Callable[[], Sequence[Reader]], inputs: int, *, seed: int) -> list[Finding]:
    """Give readers mutated samples, one reader after the other, and list what goes wrong.

    In a new process: what is copied from one with native threads, as that of other tests, may die of itself.

    Args:
        make: the readers to try, by a function that can be imported.
        inputs: in all.
        seed: of the first; the others follow.
    """
    return in_new_processes([partial(_findings, make, inputs, seed)])[0]


def _findings(make: Callable[[], Sequence[Reader]], inputs: int, seed: int) -> list[Finding]:
    readers, found, place = make(), [], 0
    while place < inputs:
        done, died = _in_process(readers, range(seed + place, seed + inputs))
        for line in done:
            if line.what:
                found.append(line)
        place += len(done)
        if died:
            number = seed + place
            found.append(Finding(readers[number % len(readers)].name, number, died))
            place += 1
    return found


def input_of(readers: Sequence[Reader], seed: int) -> tuple[Reader, bytes]:
    """The reader and the input of a seed."""
    reader = readers[seed % len(readers)]
    return reader, mutated(reader.samples, random.Random(seed))


def _in_process(readers: Sequence[Reader], seeds: range) -> tuple[list[Finding], str]:
    """What became of the seeds in one process; and how it died, if it did, at the one after the last."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        code = 1
        try:
            _try_all(readers, seeds, sink)
            code = 0
        finally:
            os._exit(code)
    os.close(sink)
    text, died = b"", ""
    with open(source, "rb", buffering=0) as file:
        while True:
            ready, _, _ = select.select([file], [], [], 12 * LONGEST_SECONDS)
            if not ready:
                os.kill(child, signal.SIGKILL)
                died = "hung in native code"
                break
            part = file.read(65536)
            if not part:
                break
            text += part
    _, status = os.waitpid(child, 0)
    if not died and status:
        died = f"the process died with status {status}"
    lines = [json.loads(line) for line in text.decode().splitlines()]
    return [Finding(readers[number % len(readers)].name, number, what) for number, what in lines], died


def _try_all(readers: Sequence[Reader], seeds: range, sink: int) -> None:
    warnings.simplefilter("ignore")
    # What the process before had is not collected here, where the threads of its native libraries are not.
    gc.freeze()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 4 * LARGEST_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, _hung)
    peak = _peak_bytes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in seeds:
            reader, content = input_of(readers, seed)
            own = folder / reader.name.replace(" ", "-").replace("/", "-")
            own.mkdir(exist_ok=True)
            what = _tried(reader, own, content)
            grown = _peak_bytes() - peak
            if not what and grown > LARGEST_BYTES:
                what = f"took {grown / 1e9:.1f} GB"
            peak = max(peak, _peak_bytes() - LARGEST_BYTES // 4)
            os.write(sink, f"{json.dumps([seed, what])}\n".encode())


def _tried(reader: Reader, folder: Path, content: bytes) -> str:
    """What is wrong with how a reader took an input; empty if nothing is."""
    signal.setitimer(signal.ITIMER_PROF, LONGEST_SECONDS)
    start = time.process_time()
    try:
        reader.read(folder, content)
    except HungError:
        return f"took more than {LONGEST_SECONDS:g} s"
    except DOCUMENTED as error:
        kind = type(error)
        if kind.__module__ in ("builtins", "json.decoder") and kind is not ValueError:
            return f"raised {kind.__name__}: {str(error)[:200]}"
        return _wrong_with(str(error))
    except BaseException as error:
        return f"raised {type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "" if time.process_time() - start < LONGEST_SECONDS else "took too long"


def _wrong_with(message: str) -> str:
    if len(message) > LONGEST_MESSAGE:
        return f"said {len(message)} characters: {message[:200]!r}"
    if not message or not message.isprintable():
        return f"said what is not one printable line: {message[:400]!r}"
    return ""


def _hung(*_: object) -> None:
    raise HungError


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def by_reader(found: Sequence[Finding]) -> Iterator[str]:
    """A line for each reader and kind of finding, with a seed to try."""
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for one in found:
        kinds.setdefault((one.reader, one.what[:60]), []).append(one)
    for (reader, _), ones in kinds.items():
        yield f"{reader}: {len(ones)} times, as with seed {ones[0].seed}: {ones[0].what}"
