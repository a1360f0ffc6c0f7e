from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from moo.page.searches import stream
from moo.page.searches.states import EVENTS, RunState
from moo.page.searches.stream import Tail, event_stream, read_batch
from moo.storage.event_file import EventFile


def told(frames: bytes) -> list[tuple[int, dict[str, Any]]]:
    """Ids and contents of what was sent without a name."""
    found = re.findall(rb"^id: (\d+)\ndata: (.*)$", frames, re.M)
    return [(int(place), json.loads(content)) for place, content in found]


def test_lines_are_sent_with_the_place_after_them(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    file = EventFile(path)
    for number in range(3):
        file.append(float(number), "trial_started", {"trial": number, "configuration": "<b>\n\u2028"})
    batch = read_batch(path, 0)
    assert [event["trial"] for _, event in told(batch.frames)] == [0, 1, 2]
    assert batch.end == path.stat().st_size == told(batch.frames)[-1][0]
    later = read_batch(path, told(batch.frames)[0][0])
    assert told(later.frames) == told(batch.frames)[1:]
    with path.open("ab") as half:
        half.write(b'{"at": 9, "kind": "half')
    assert read_batch(path, batch.end).frames == b""
    assert read_batch(path, batch.end).end == batch.end


def test_what_is_no_line_of_ours_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    path.write_bytes(b"\n[]\nnothing\n{" + b"x" * 20_000 + b'}\n{"at": 1, "kind": "good"}\r\n\xff\n')
    batch = read_batch(path, 0)
    assert [event for _, event in told(batch.frames)] == [{"at": 1, "kind": "good"}]
    assert batch.frames.count(b"\n\n") == 1
    assert batch.end == path.stat().st_size


def test_of_progress_the_last_line_on_each_thing_is_sent(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    file = EventFile(path)
    for number in range(5):
        file.append(float(number), "stage_progress", {"stage": 'a "b"', "done": number})
        file.append(float(number), "stage_progress", {"stage": "c", "done": number})
        file.append(float(number), "time_estimated", {"stage": "c", "seconds_left": number})
        file.append(float(number), "training_progress", {"name": "x", "step": number, "epoch": None})
        file.append(float(number), "training_progress", {"name": "x", "step": number, "epoch": number})
    sent = [event for _, event in told(read_batch(path, 0).frames)]
    assert [event.get("done", event.get("seconds_left", event.get("step"))) for event in sent] == [0, 1, 2, 3, *[4] * 5]


def test_points_of_a_front_are_asked_for_where_they_are_shown(tmp_path: Path) -> None:
    file = EventFile(tmp_path / EVENTS)
    file.append(1.0, "front_changed", {"points": 2, "hypervolume": 0.5, "front": ["a 1t", "b 1t"]})
    ((_, event),) = told(read_batch(tmp_path / EVENTS, 0).frames)
    assert event == {"at": 1.0, "kind": "front_changed", "points": 2, "hypervolume": 0.5}


def test_a_file_that_was_cut_begins_anew_and_a_link_is_none(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    assert read_batch(path, 0).end == 0
    path.write_bytes(b'{"at": 1, "kind": "good"}\n')
    assert read_batch(path, 100).is_anew
    assert not read_batch(path, 0).is_anew
    (tmp_path / "link").symlink_to(path)
    assert read_batch(tmp_path / "link", 0).frames == b""


async def taken(frames: AsyncIterator[bytes], wanted: bytes) -> bytes:
    """What is sent up to something that is waited for."""
    sent = b""
    while wanted not in sent:
        sent += await asyncio.wait_for(anext(frames), 20)
    return sent


def test_windows_of_a_run_share_one_look_at_it_and_none_is_taken_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(stream, "STATE_SECONDS", 0.0)
    monkeypatch.setattr(stream, "BEAT_SECONDS", 0.05)
    state, looks, ends = [RunState("running", "searching")], [0], [False]

    def state_now() -> RunState:
        looks[0] += 1
        return state[0]

    async def watch() -> None:
        tail = Tail(tmp_path, state_now, lambda: ends[0])
        first, second = event_stream(tail, 0), event_stream(tail, 0)
        tail.join()
        tail.join()
        assert b'"state": "running"' in await taken(first, b"event: state")
        EventFile(tmp_path / EVENTS).append(1.0, "front_written", {"reached": "after 1 trial"})
        for window in (first, second):
            assert told(await taken(window, b"front_written"))
        await taken(first, b"event: beat")
        state[0] = RunState("ended")
        assert b'"state": "ended"' in await taken(second, b'"ended"')
        state.clear()
        assert b"unreadable" in await taken(second, b"unreadable")
        (tmp_path / EVENTS).unlink()
        await taken(first, b"event: anew")
        assert not tail.leave()
        assert tail.leave()
        await asyncio.sleep(0.05)
        before = looks[0]
        await asyncio.sleep(0.1)
        assert looks[0] == before
        tail.join()
        ends[0] = True
        assert [frame async for frame in second if b"front_written" in frame] == []

    # Playwright's loop has this thread.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, watch()).result()
