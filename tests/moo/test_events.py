from __future__ import annotations

from moo.events import BoardBack, told_to


def test_a_listener_can_be_several() -> None:
    heard = []
    tell = told_to(lambda event: heard.append(("first", event)), lambda event: heard.append(("second", event)))
    tell(BoardBack("pi"))
    assert heard == [("first", BoardBack("pi")), ("second", BoardBack("pi"))]
