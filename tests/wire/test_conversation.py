"""A conversation over a real socket, on loopback: bounded in time and bytes, and it never raises."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from scanner.contracts import Conversation, Hop
from scanner.wire.conversation import MOST_HEARD, connect

HOP = Hop(interface="lo", source=0x7F000001, gateway=None, on_link=True, loopback=True, mac=None, mtu=65536)
HOP6 = Hop(
    interface="lo", source=1, gateway=None, on_link=True, loopback=True, mac=None, mtu=65536, version=6
)


@pytest.fixture
def talk_to() -> Iterator[Callable[..., Conversation]]:
    """`talk_to(service)`: a conversation with a function that is handed the other end."""
    with contextlib.ExitStack() as closing:

        def begin(service: Callable[[socket.socket], None], seconds: float = 0.5) -> Conversation:
            listener = closing.enter_context(socket.create_server(("127.0.0.1", 0)))

            def serve() -> None:
                accepted, _ = listener.accept()
                with accepted, contextlib.suppress(OSError):
                    service(accepted)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            closing.callback(thread.join, 10)
            talk = connect(HOP, "127.0.0.1", listener.getsockname()[1], seconds, "127.0.0.1")
            closing.callback(talk.close)
            return talk

        yield begin


def say(*pieces: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    def service(peer: socket.socket) -> None:
        for piece in pieces:
            peer.sendall(piece)
            time.sleep(pause)
        peer.recv(1)

    return service


def test_who_is_at_the_other_end(talk_to):
    talk = talk_to(say(b""))
    assert talk.address == "127.0.0.1"
    assert talk.port > 0


def test_lines_come_one_at_a_time_and_what_is_left_is_not_lost(talk_to):
    talk = talk_to(say(b"one\ntw", b"o\nthree", pause=0.02))
    assert [talk.line(), talk.line(), talk.hear()] == [b"one\n", b"two\n", b"three"]


def test_it_hears_until_nothing_follows(talk_to):
    assert talk_to(say(b"a", b"b", b"c", pause=0.05)).hear() == b"abc"
    began = time.monotonic()
    talk = talk_to(say(b"a", b"b", pause=0.4), seconds=5)
    assert talk.hear(quiet=0.1) == b"a"
    assert time.monotonic() - began < 0.4


def test_what_is_said_arrives(talk_to):
    def echo(peer: socket.socket) -> None:
        peer.sendall(peer.recv(100).upper())

    talk = talk_to(echo)
    talk.say(b"ver\n")
    assert talk.line() == b"VER\n"
    assert talk.line() == b""


def test_a_limit_is_one(talk_to):
    talk = talk_to(say(b"0123456789"))
    assert [talk.hear(4), talk.line(3), talk.hear()] == [b"0123", b"456", b"789"]


def test_silence_ends_at_the_deadline_and_is_not_waited_for_twice(talk_to):
    talk = talk_to(say(b""), seconds=0.3)
    began = time.monotonic()
    assert (talk.hear(), talk.hear(), talk.line()) == (b"", b"", b"")
    assert 0.25 < time.monotonic() - began < 0.45


def flood(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"x" * 4096)


def test_one_that_sends_for_ever_is_cut_off(talk_to):
    talk = talk_to(flood, seconds=5)
    began = time.monotonic()
    assert len(talk.hear(4096)) == 4096
    assert len(talk.line(1 << 30)) == MOST_HEARD - 4096
    assert talk.hear() == b""
    assert time.monotonic() - began < 1


def test_one_that_dribbles_for_ever_is_cut_off(talk_to):
    talk = talk_to(say(*[b"x"] * 100, pause=0.02), seconds=0.3)
    began = time.monotonic()
    assert 1 < len(talk.hear()) < 40
    assert time.monotonic() - began < 0.5


def test_one_that_hangs_up_or_resets_or_does_not_listen(talk_to):
    talk = talk_to(lambda peer: peer.close())
    assert talk.hear() == b""
    talk.say(b"x")
    talk.say(b"x")

    def reset(peer: socket.socket) -> None:
        time.sleep(0.02)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    talk = talk_to(reset)
    time.sleep(0.05)
    talk.say(b"x")
    assert talk.hear() == b""

    deaf = talk_to(lambda peer: time.sleep(1), seconds=0.3)
    began = time.monotonic()
    deaf.say(b"x" * 50_000_000)
    assert time.monotonic() - began < 0.8


def test_closing_twice_and_using_it_closed(talk_to):
    talk = talk_to(say(b"hello"))
    talk.close()
    talk.close()
    talk.say(b"x")
    assert talk.hear() == b""


@pytest.mark.parametrize(("hop", "address"), [(HOP, "127.0.0.1"), (HOP6, "::1")])
def test_nobody_there(hop, address):
    began = time.monotonic()
    with pytest.raises(OSError, match="refused"):
        connect(hop, address, 1, 2, address)
    assert time.monotonic() - began < 1


def test_it_leaves_from_the_source_it_is_told():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        talk = connect(HOP, "127.0.0.1", listener.getsockname()[1], 1, "127.0.0.9")
        accepted, peer = listener.accept()
        accepted.close()
        assert peer[0] == "127.0.0.9"
        talk.close()


def test_ipv6():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        talk = connect(HOP6, "::1", listener.getsockname()[1], 1, "::1")
        accepted, _ = listener.accept()
        accepted.sendall(b"six\n")
        assert talk.line() == b"six\n"
        talk.close()
        accepted.close()
