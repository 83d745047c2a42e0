"""Services of recorded conversations, by what was said first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.recognising import Recogniser

SSH = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"
UPSD = b"Network UPS Tools upsd 2.8.0 - http://www.networkupstools.org/\n"


@pytest.mark.parametrize(
    ("port", "asked", "said", "name"),
    [
        (401, b"VER\n", UPSD, "nut"),
        (3493, b"VER\n", UPSD, "nut"),
        (22, b"VER\n", UPSD, None),
        (401, b"LIST UPS\n", UPSD, None),
        (401, b"", SSH, "ssh"),
        (22, b"SSH-2.0-Go\r\n", SSH, "ssh"),
        (80, b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.0 200 OK\r\n", None),
    ],
)
def test_it_is_who_the_identifiers_would_say(port: int, asked: bytes, said: bytes, name: str | None) -> None:
    service = Recogniser().service(port, asked, said)
    assert (service and service.name) == name


@given(
    port=st.sampled_from([22, 401]),
    asked=st.sampled_from([b"", b"VER\n"]),
    said=st.sampled_from([b"", b"SSH-2.0-", b"Network UPS Tools upsd "]).flatmap(
        lambda begin: st.binary(max_size=64 - len(begin)).map(lambda rest: begin + rest)
    ),
)
def test_whatever_is_said_it_fits_into_a_record(port: int, asked: bytes, said: bytes) -> None:
    service = Recogniser().service(port, asked, said)
    if service is not None:
        assert max(len(service.product or ""), len(service.version or "")) <= 200
        assert len(service.evidence) <= 4096
        service.evidence.encode()
