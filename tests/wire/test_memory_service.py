"""Services in memory: they keep the contract of a conversation, in no time."""

from __future__ import annotations

import pytest

from scanner.wire.memory import SimulatedNetwork
from scanner.wire.memory_service import MemoryConversation


def greeter(heard: bytes) -> bytes | None:
    return {b"": b"hello\nworld", b"more": b"!\n", b"bye": None}.get(heard, b"")


def test_it_says_what_it_says_unasked_and_answers():
    talk = MemoryConversation(greeter, "10.0.0.1", 401)
    assert (talk.address, talk.port) == ("10.0.0.1", 401)
    assert [talk.line(), talk.hear(2)] == [b"hello\n", b"wo"]
    talk.say(b"more")
    assert [talk.line(), talk.line(), talk.hear()] == [b"rld!\n", b"", b""]


@pytest.mark.parametrize("end", [lambda talk: talk.say(b"bye"), lambda talk: talk.close()])
def test_after_the_end_nothing_comes(end):
    talk = MemoryConversation(greeter, "10.0.0.1", 401)
    talk.hear()
    end(talk)
    talk.say(b"more")
    assert talk.hear() == b""


def test_where_nobody_serves_there_is_none():
    network = SimulatedNetwork()
    network.serve("10.0.0.1", 401, greeter)
    assert network.connect(None, "10.0.0.1", 401, 1).line() == b"hello\n"  # type: ignore[arg-type]
    for place in (("10.0.0.2", 401), ("10.0.0.1", 402)):
        with pytest.raises(ConnectionRefusedError):
            network.connect(None, *place, 1)  # type: ignore[arg-type]
