from __future__ import annotations

from moo.execution.collector import LONGEST_MESSAGE, MOST_WAITING, Collector


def test_messages_are_fetched_once_in_their_order() -> None:
    collector = Collector()
    for message in (b"first", b"second"):
        collector.put(message)
    assert collector.fetch() == [b"first", b"second"]
    assert collector.fetch() == []


def test_what_is_not_fetched_in_time_is_dropped_the_oldest_first() -> None:
    collector = Collector()
    for number in range(MOST_WAITING + 3):
        collector.put(b"%d" % number)
    assert collector.fetch() == [b"%d" % number for number in range(3, MOST_WAITING + 3)]


def test_a_message_that_is_too_long_is_not_kept() -> None:
    collector = Collector()
    collector.put(bytes(LONGEST_MESSAGE))
    collector.put(bytes(LONGEST_MESSAGE + 1))
    assert [len(message) for message in collector.fetch()] == [LONGEST_MESSAGE]
