"""What a service says unasked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.identify.banner import BANNER, MOST_BYTES
from scanner.wire.memory_service import MemoryConversation


def identified(greeting: bytes):
    heard: list[bytes] = []

    def service(said: bytes) -> bytes:
        heard.append(said)
        return b"" if said else greeting

    found = BANNER.identify(MemoryConversation(service, "10.0.0.1", 22))
    assert heard == [b""], "nothing is sent"
    return found


@pytest.mark.parametrize(
    ("greeting", "facts"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n", ("ssh", "OpenSSH", "9.2p1", 1.0)),
        (b"SSH-2.0-dropbear\r\n", ("ssh", "dropbear", None, 1.0)),
        (b"RFB 003.008\n", ("vnc", None, "003.008", 1.0)),
        (b"* OK [CAPABILITY IMAP4rev1] ready\r\n", ("imap", None, None, 0.9)),
        (b"+OK ready <1.2@x>\r\n", ("pop3", None, None, 0.8)),
        (b"220 mail.example ESMTP Postfix\r\n", ("smtp", None, None, 0.9)),
        (b"220 (vsFTPd 3.0.3)\r\n", ("ftp", None, None, 0.9)),
        (b"220 ready\r\n", ("unknown", None, None, 0.1)),
        (b"\x00\xff\x1b[2J", ("unknown", None, None, 0.1)),
    ],
)
def test_a_greeting(greeting, facts):
    found = identified(greeting)
    assert (found.name, found.product, found.version, found.confidence) == facts
    assert found.evidence == greeting.decode("utf-8", "backslashreplace").rstrip("\r\n")


def test_silence_is_nobody():
    assert identified(b"") is None


@given(st.binary(min_size=1, max_size=MOST_BYTES * 2))
def test_whatever_it_says_is_text_of_bounded_length(greeting):
    found = identified(greeting)
    assert len(found.evidence) <= 4096
    found.evidence.encode()


def test_a_greeting_that_was_recorded():
    greeting = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"
    assert BANNER.recognise is not None
    assert BANNER.recognise(b"SSH-2.0-Go\r\n", greeting) == identified(greeting)
    assert BANNER.recognise(b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n") is None
