"""The other probes: what each stamps is what Scapy builds, and what its answers say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.sctp import SCTP, SCTPChunkAbort, SCTPChunkInit, SCTPChunkInitAck
from scapy.packet import Packet, Raw

from scanner.contracts import Probe
from scanner.core import cookie
from scanner.core.addresses import AddressSet, parse_address
from scanner.core.decode import decode_untrusted
from scanner.core.outcomes import IP_PROTOCOLS, PROTOCOLS
from scanner.core.rules import Rules, state_of
from scanner.core.transport import TransportFlows, flows_of
from scanner.model import REASONS, Protocol, UsageError
from scanner.probes.ack import ACK
from scanner.probes.icmp_echo import ICMP_ECHO
from scanner.probes.sctp_init import SCTP_INIT
from scanner.probes.stock import template_of
from scanner.probes.tcp_syn import TCP_SYN
from scanner.probes.udp_payload import MOST_BYTES, UDP_PAYLOAD

KEY = bytes(range(16))
PROBER, TARGET, ROUTER = "10.0.0.1", "10.50.3.4", "10.9.9.9"
PROBES = [ACK, SCTP_INIT, ICMP_ECHO]
PORT = 401


def lane_of(probe: Probe) -> TransportFlows:
    wanted = parse_address(TARGET)
    return TransportFlows(
        template=template_of(probe, PORT),
        protocol=IP_PROTOCOLS[probe.protocol],
        source=parse_address(PROBER),
        addresses=AddressSet.of([(wanted - 100, wanted + 100)]),
        ports=(0,) if probe.protocol is Protocol.ICMP else (PORT,),
        key=KEY,
        capacity=201,
    )


def packet_to(probe: Probe) -> Packet:
    """The probe that goes to TARGET, as Scapy reads it."""
    return IP(lane_of(probe).stamp(np.array([100]), 0)[0].tobytes())


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_every_packet_of_a_batch_is_as_scapy_builds_it(probe):
    lane = lane_of(probe)
    for attempt in (0, 2):
        stamped = lane.stamp(np.arange(201), attempt)
        assert len({row.tobytes() for row in stamped}) == 201
        for row in stamped:
            again = IP(row.tobytes())
            for layer in (again, again.payload):
                del layer.chksum
            assert bytes(again) == row.tobytes(), "checksums and all"


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_over_ipv6_too(probe):
    template = template_of(probe, PORT, 6)
    packet = IPv6(template.packet)
    assert packet.fl == 0x4750
    kinds = {"ack": TCP, "sctp-init": SCTPChunkInit, "icmp-echo": ICMPv6EchoRequest}
    assert kinds[probe.name] in packet


def syn_flow(protocol: int, port: int):
    number = parse_address(TARGET)
    targets, ports = np.array([number], dtype=np.uint32), np.array([port], dtype=np.uint16)
    return flows_of(KEY, parse_address(PROBER), targets, ports, protocol, None)


def test_the_cookie_is_where_the_answer_repeats_it():
    ack, init, echo = map(packet_to, PROBES)
    number = int(syn_flow(6, PORT).sequence[0])
    assert (ack[TCP].seq, ack[TCP].ack, ack[TCP].flags) == (number, number, "A")
    assert init[SCTPChunkInit].init_tag == int(syn_flow(132, PORT).sequence[0])
    assert init[SCTP].tag == 0
    assert echo[ICMP].seq == int(syn_flow(1, 0).sequence[0]) < 1 << 16
    assert cookie.is_source_port(np.array([0], np.uint16), np.array([echo[ICMP].id], np.uint16)).all()


def verdicts(probe: Probe, reply: Callable[[Packet], Packet]) -> list[tuple[str, str]]:
    """What a lane makes of an answer to its probe: state and reason; "forged" where it is not genuine."""
    lane = lane_of(probe)
    asked = packet_to(probe)
    raw = bytes(reply(asked))
    buffer = np.frombuffer(raw, dtype=np.uint8)
    decoded = decode_untrusted(
        buffer, np.zeros(1, np.int64), np.array([len(raw)]), np.zeros(1, np.int64), 101
    )
    rules = {} if probe.rules is None else {probe.protocol: probe.rules}
    claims = Rules(rules).claims(decoded)
    matched = lane.match(claims, np.ones(201, dtype=np.uint8))
    found = []
    named = matched.claims
    for row, genuine in enumerate(matched.genuine.tolist()):
        state = state_of(int(named.rank[row]), PROTOCOLS[int(named.protocol[row])])
        found.append((state.value, REASONS[named.reason[row]].value) if genuine else ("forged", ""))
    return found


def tcp(flags: str, moved: int = 0) -> Callable[[Packet], Packet]:
    def reply(asked: Packet) -> Packet:
        answer = TCP(sport=PORT, dport=asked.sport, flags=flags, seq=asked[TCP].ack + moved)
        return IP(src=TARGET, dst=PROBER) / answer

    return reply


def sctp(chunk: Packet, moved: int = 0) -> Callable[[Packet], Packet]:
    def reply(asked: Packet) -> Packet:
        header = SCTP(sport=PORT, dport=asked.sport, tag=asked[SCTPChunkInit].init_tag + moved)
        return IP(src=TARGET, dst=PROBER) / header / chunk

    return reply


def echo(kind: int = 0, moved: int = 0) -> Callable[[Packet], Packet]:
    def reply(asked: Packet) -> Packet:
        again = ICMP(type=kind, id=asked[ICMP].id, seq=(asked[ICMP].seq + moved) & 0xFFFF)
        return IP(src=TARGET, dst=PROBER) / again

    return reply


def error(kind: int, code: int, source: str = ROUTER, quoted: int = 8) -> Callable[[Packet], Packet]:
    def reply(asked: Packet) -> Packet:
        body = bytes(asked)[: 20 + quoted]
        return IP(src=source, dst=PROBER) / ICMP(type=kind, code=code) / Raw(body)

    return reply


@pytest.mark.parametrize(
    ("probe", "reply", "found"),
    [
        (ACK, tcp("R"), [("unfiltered", "reset")]),
        (ACK, tcp("RA"), [("unfiltered", "reset")]),
        (ACK, tcp("R", 1), [("forged", "")]),
        (ACK, tcp("SA"), []),
        (ACK, tcp("A"), []),
        (ACK, error(3, 13), [("filtered", "admin-prohibited")]),
        (SCTP_INIT, sctp(SCTPChunkInitAck(init_tag=7)), [("open", "init-ack")]),
        (SCTP_INIT, sctp(SCTPChunkAbort()), [("closed", "abort")]),
        (SCTP_INIT, sctp(SCTPChunkAbort(), 1), [("forged", "")]),
        (SCTP_INIT, sctp(SCTPChunkInit()), []),
        (SCTP_INIT, error(3, 2, TARGET), [("filtered", "proto-unreach")]),
        (SCTP_INIT, error(11, 0), [("filtered", "time-exceeded")]),
        (SCTP_INIT, error(3, 3, TARGET), [("filtered", "port-unreach")]),
        (ICMP_ECHO, echo(), [("up", "echo-reply")]),
        (ICMP_ECHO, echo(moved=1), [("forged", "")]),
        (ICMP_ECHO, echo(8), []),
        (ICMP_ECHO, error(3, 1), [("filtered", "host-unreach")]),
        (TCP_SYN, tcp("R"), []),
    ],
)  # fmt: skip
def test_what_an_answer_says(probe, reply, found):
    assert verdicts(probe, reply) == found


def test_icmpv6_replies_are_read():
    reply = IPv6(src="fd00::2", dst="fd00::1") / ICMPv6EchoReply(id=7, seq=9)
    raw = np.frombuffer(bytes(reply), dtype=np.uint8)
    from scanner.core.book import AddressBook

    decoded = decode_untrusted(
        raw, np.zeros(1, np.int64), np.array([len(raw)]), np.zeros(1, np.int64), 101, AddressBook()
    )
    claims = Rules().claims(decoded)
    assert (claims.protocol.tolist(), claims.prober_port.tolist(), claims.sequence.tolist()) == (
        [1],
        [7],
        [9],
    )


# --- a payload from a file ----------------------------------------------------------------------


def test_a_payload_comes_from_a_file(tmp_path):
    (tmp_path / "payload").write_bytes(b"\x00\x01hello")
    configure = UDP_PAYLOAD.configure
    assert configure is not None
    probe = configure(str(tmp_path / "payload"))
    template = template_of(probe, 53)
    assert IP(template.packet)[UDP].payload.load == b"\x00\x01hello"
    assert probe.name == "udp-payload"


@pytest.mark.parametrize(
    ("size", "why"), [(0, "from 1 to"), (MOST_BYTES + 1, "from 1 to"), (None, "cannot be read")]
)
def test_a_file_that_is_none(tmp_path, size, why):
    path = tmp_path / "payload"
    if size is not None:
        path.write_bytes(bytes(size))
    configure = UDP_PAYLOAD.configure
    assert configure is not None
    with pytest.raises(UsageError, match=why):
        configure(str(path))


def test_without_a_file_it_says_so():
    with pytest.raises(UsageError, match="say which file"):
        UDP_PAYLOAD.payload(1)
