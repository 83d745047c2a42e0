"""Network UPS Tools: what is asked, and what is made of the answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.identify.nut import NUT
from scanner.model import Service
from scanner.wire.memory_service import MemoryConversation

DEBIAN = b"Network UPS Tools upsd 2.8.0 - http://www.networkupstools.org/\n"
SYNOLOGY = (
    b"Network UPS Tools upsd DSM6-2-25426-workplus-repack-25426-200106 - http://www.networkupstools.org/\n"
)


def asked(version: bytes, farewell: bytes = b"OK Goodbye\n"):
    """What is found, and what the service heard."""
    heard: list[bytes] = []

    def service(said: bytes) -> bytes | None:
        if said:
            heard.append(said)
        return {b"VER\n": version, b"LOGOUT\n": farewell}.get(said, b"")

    return NUT.identify(MemoryConversation(service, "10.0.0.1", 401)), heard


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        (DEBIAN, "2.8.0"),
        (SYNOLOGY, "DSM6-2-25426-workplus-repack-25426-200106"),
        (b"Network UPS Tools upsd 2.8.1-1.el9\r\n", "2.8.1-1.el9"),
    ],
)
@pytest.mark.parametrize("farewell", [b"OK Goodbye\n", b"Goodbye...\n"])
def test_one_that_says_its_version(answer, version, farewell):
    service, heard = asked(answer, farewell)
    assert (service.name, service.product, service.version) == ("nut", "Network UPS Tools upsd", version)
    assert service.confidence == 1
    assert service.evidence == (answer + farewell).decode().rstrip("\r\n")
    assert heard == [b"VER\n", b"LOGOUT\n"], "and nothing else ever"


def test_one_that_hangs_up_before_the_farewell():
    service, _ = asked(DEBIAN, b"")
    assert (service.version, service.confidence) == ("2.8.0", 0.9)


def test_one_that_keeps_its_version_to_itself():
    service, _ = asked(b"ERR ACCESS-DENIED\n")
    assert (service.name, service.version, service.confidence) == ("nut", None, 0.6)
    assert asked(b"ERR ACCESS-DENIED\n", b"ERR UNKNOWN-COMMAND\n")[0] is None


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"ERR WHAT\n",
        b"Network UPS Tools upsd \n",
        b"Network UPS Tools upsd 2.8.0",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"Network UPS Tools upsd " + b"9" * 65 + b"\n",
        b"\xff\xfe\n",
    ],
)
def test_whoever_says_something_else_is_somebody_else(answer):
    service, heard = asked(answer)
    assert service is None
    assert heard == [b"VER\n"]


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_whatever_it_says(answer, farewell):
    for said in (answer, DEBIAN[:20] + answer, DEBIAN[:-1] + answer + b"\n"):
        service, heard = asked(said, farewell)
        assert set(heard) <= {b"VER\n", b"LOGOUT\n"}
        assert service is None or service.name == "nut"


def recorded(asked: bytes, said: bytes) -> Service | None:
    assert NUT.recognise is not None
    return NUT.recognise(asked, said)


@pytest.mark.parametrize(
    ("said", "version", "confidence"),
    [
        (DEBIAN, "2.8.0", 0.9),
        ((DEBIAN + b"OK Goodbye\n")[:64], "2.8.0", 0.9),
        (b"Network UPS Tools upsd 2.8.1\nOK Goodbye\n", "2.8.1", 1.0),
        (b"Network UPS Tools upsd 2.8.0 - https://www.networkupstools.org/here"[:64], "2.8.0", 0.9),
        (SYNOLOGY[:64], None, 0.9),
        (b"ERR ACCESS-DENIED\nGoodbye...\n", None, 0.6),
    ],
)
@pytest.mark.parametrize("asked", [b"VER\n", b"VER\r\nLOGOUT\r\n"])
def test_one_that_was_recorded(asked, said, version, confidence):
    service = recorded(asked, said)
    assert service is not None
    assert (service.name, service.version, service.confidence) == ("nut", version, confidence)


@pytest.mark.parametrize(
    ("asked", "said"),
    [(b"", DEBIAN), (b"VERSION\n", DEBIAN), (b"VER\n", b"ERR ACCESS-DENIED\n"), (b"VER\n", b"SSH-2.0-x\r\n")],
)
def test_another_that_was_recorded(asked, said):
    assert recorded(asked, said) is None


@given(asked=st.just(b"VER\n") | st.binary(max_size=64), said=st.binary(max_size=64))
def test_a_recording_never_raises(asked, said):
    service = recorded(asked, said)
    assert service is None or service.name == "nut"
