"""How simulated hosts answer: each behaviour is a function from a probe to its replies.

Behaviours compose: `late(open_port(), 2.0)`, `in_turn(closed_port(), open_port())`. To write
another one, write a function that takes a `Probe` and returns `Reply` values; packets are
IP datagrams in bytes, of the probe's version, built by `tcp_reply`, `udp_reply` and `icmp_reply`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from scanner.model import UsageError
from scanner.wire.simulated_packets import (
    ACK,
    RST,
    SYN,
    TCP,
    UDP,
    Probe,
    Reply,
    icmp_reply,
    parse_probe_untrusted,
    tcp_reply,
    udp_reply,
    with_options,
)

__all__ = [
    "ACK",
    "RST",
    "SYN",
    "Behaviour",
    "Probe",
    "Reply",
    "behind_options",
    "by_port",
    "closed_port",
    "forged_reset",
    "forged_syn_ack",
    "icmp_error",
    "icmp_reply",
    "in_turn",
    "late",
    "open_port",
    "parse_probe_untrusted",
    "repeated",
    "silent",
    "split_handshake",
    "tcp_reply",
    "together",
    "udp_reply",
]

_PORT_UNREACHABLE = {4: (3, 3), 6: (1, 4)}  # RFC 792; RFC 4443, 3.1
_WORD = 1 << 32

Behaviour: TypeAlias = Callable[[Probe], Sequence[Reply]]


def silent() -> Behaviour:
    """Says nothing, as behind a firewall that drops."""
    return lambda _: ()


def open_port(payload: bytes = b"", ttl: int = 64) -> Behaviour:
    """TCP: SYN/ACK. UDP: a datagram with `payload`."""

    def behave(probe: Probe) -> Sequence[Reply]:
        if probe.protocol == UDP:
            return (Reply(udp_reply(probe, payload, ttl=ttl)),)
        return (Reply(tcp_reply(probe, SYN | ACK, ttl=ttl)),)

    return behave


def closed_port(ttl: int = 64) -> Behaviour:
    """TCP: RST/ACK (RFC 9293, 3.10.7.1). UDP: ICMP port unreachable by the host itself."""

    def behave(probe: Probe) -> Sequence[Reply]:
        if probe.protocol == UDP:
            return (Reply(icmp_reply(probe, *_PORT_UNREACHABLE[probe.version], ttl=ttl)),)
        return (Reply(tcp_reply(probe, RST | ACK, ttl=ttl)),)

    return behave


def split_handshake(ttl: int = 64) -> Behaviour:
    """TCP: a SYN of its own, without ACK (simultaneous open). UDP: nothing."""

    def behave(probe: Probe) -> Sequence[Reply]:
        return (Reply(tcp_reply(probe, SYN, ttl=ttl)),) if probe.protocol == TCP else ()

    return behave


def icmp_error(
    kind: int, code: int, responder: int | None = None, quoted: int | None = None, ttl: int = 64
) -> Behaviour:
    """An ICMP error of any type and code that quotes the probe; to one of IPv6, an ICMPv6 error.

    responder: the router that sends it; None for the host itself. quoted: bytes quoted behind
    the probe's IP header; None for 8 (RFC 792), or all of one of IPv6 (RFC 4443).
    """
    return lambda probe: (Reply(icmp_reply(probe, kind, code, responder, quoted, ttl)),)


def forged_syn_ack(offset: int = 1234, ttl: int = 64) -> Behaviour:
    """TCP: a SYN/ACK whose acknowledgement is wrong by `offset`, as from who never saw the SYN."""
    return _forged(SYN | ACK, offset, ttl)


def forged_reset(offset: int = 1234, ttl: int = 64) -> Behaviour:
    """TCP: a reset whose acknowledgement is wrong by `offset`."""
    return _forged(RST | ACK, offset, ttl)


def _forged(flags: int, offset: int, ttl: int) -> Behaviour:
    def behave(probe: Probe) -> Sequence[Reply]:
        if probe.protocol != TCP:
            return ()
        mistaken = replace(probe, sequence=(probe.sequence + offset) % _WORD)
        return (Reply(tcp_reply(mistaken, flags, ttl=ttl)),)

    return behave


def repeated(behaviour: Behaviour, times: int = 2) -> Behaviour:
    """Every reply `times` times over."""
    return lambda probe: [reply for reply in behaviour(probe) for _ in range(times)]


def together(*behaviours: Behaviour) -> Behaviour:
    """The replies of all of them, in order."""
    return lambda probe: [reply for behaviour in behaviours for reply in behaviour(probe)]


def late(behaviour: Behaviour, seconds: float) -> Behaviour:
    """The same replies, so many seconds later."""
    return lambda probe: [replace(reply, delay=reply.delay + seconds) for reply in behaviour(probe)]


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """The first probe meets the first behaviour, and so on; the last one stays."""
    if not behaviours:
        raise UsageError("in_turn() needs at least one behaviour")
    return lambda probe: behaviours[min(probe.nth, len(behaviours)) - 1](probe)


def by_port(ports: Mapping[int, Behaviour], otherwise: Behaviour | None = None) -> Behaviour:
    """A behaviour for each destination port; `otherwise` (closed, if None) for the rest."""
    rest = closed_port() if otherwise is None else otherwise
    return lambda probe: ports.get(probe.destination_port, rest)(probe)


def behind_options(behaviour: Behaviour) -> Behaviour:
    """The same replies with IP options; of IPv6, behind an extension header."""
    return lambda probe: [replace(reply, packet=with_options(reply.packet)) for reply in behaviour(probe)]
