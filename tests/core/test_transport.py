"""Flows there and back: what was stamped is answered, and the answer names its task and try again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Packet, Raw

from scanner.core import cookie
from scanner.core.addresses import AddressSet, format_address, parse_address
from scanner.core.decode import decode_untrusted
from scanner.core.rules import Claims, Rules
from scanner.core.transport import TransportFlows
from scanner.probes.compiler import compile_packet
from scanner.probes.tcp_syn import TCP_SYN
from scanner.probes.udp import UDP as UDP_PROBE

KEY = bytes(range(16))
SOURCE = "192.168.7.1"
PROBES = {6: TCP_SYN, 17: UDP_PROBE}
TEMPLATES = {number: compile_packet(probe.packet(b"")) for number, probe in PROBES.items()}
RANGES = AddressSet.of(
    [
        (parse_address("10.0.0.3"), parse_address("10.0.0.9")),
        (parse_address("10.0.1.0"), parse_address("10.0.1.0")),
        (parse_address("172.16.255.250"), parse_address("172.17.0.5")),
    ]
)


def flows_of(
    protocol: int = 6,
    *,
    addresses: AddressSet = RANGES,
    ports: tuple[int, ...] = (401, 3493),
    source: str = SOURCE,
    key: bytes = KEY,
) -> TransportFlows:
    return TransportFlows(
        template=TEMPLATES[protocol],
        protocol=protocol,
        source=parse_address(source),
        addresses=addresses,
        ports=ports,
        key=key,
        capacity=100,
    )


def stamped(flows: TransportFlows, tasks: NDArray[np.int64], attempt: int) -> list[bytes]:
    return [row.tobytes() for row in flows.stamp(tasks, attempt)]


def reply_to(probe: bytes, flags: str = "SA", *, acknowledge: int = 1) -> Packet:
    asked = IP(probe)
    answer = IP(src=asked.dst, dst=asked.src)
    if TCP not in asked:
        return answer / UDP(sport=asked.dport, dport=asked.sport)
    number = (asked.seq + acknowledge) & 0xFFFFFFFF
    return answer / TCP(sport=asked.dport, dport=asked.sport, flags=flags, ack=number)


def error_about(probe: bytes, *, sender: str | None = None, code: int = 3) -> Packet:
    asked = IP(probe)
    return IP(src=sender or asked.dst, dst=asked.src) / ICMP(type=3, code=code) / Raw(probe[:28])


def claims_of(packets: list[Packet] | list[bytes]) -> Claims:
    frames = [bytes(packet) for packet in packets]
    lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
    buffer = np.frombuffer(b"".join(frames), dtype=np.uint8)
    times = np.arange(len(frames), dtype=np.int64)
    return Rules().claims(decode_untrusted(buffer, np.cumsum(lengths) - lengths, lengths, times, 101))


def tries_of(flows: TransportFlows, tries: int) -> NDArray[np.uint8]:
    return np.full(flows.tasks, tries, dtype=np.uint8)


def test_tasks_are_addresses_times_ports() -> None:
    flows = flows_of(ports=(401, 3493, 50000))
    assert flows.tasks == RANGES.size * 3
    addresses, ports = flows.targets(np.arange(flows.tasks))
    assert list(zip(addresses.tolist(), ports.tolist(), strict=True)) == [
        (address, port) for address in RANGES.chunk(0, 99).tolist() for port in (401, 3493, 50000)
    ]
    assert (addresses.dtype.name, ports.dtype.name) == ("uint32", "uint16")
    addresses, ports = flows_of(ports=(7,)).targets(np.array([2, 0]))
    assert [format_address(address) for address in addresses.tolist()] == ["10.0.0.5", "10.0.0.3"]
    assert ports.tolist() == [7, 7]


@pytest.mark.parametrize("protocol", [6, 17])
@pytest.mark.parametrize("attempt", [0, 1, 254])
def test_what_is_stamped(protocol: int, attempt: int) -> None:
    flows = flows_of(protocol, ports=(401, 60000))
    tasks = np.array([5, 0, 3])
    addresses, ports = flows.targets(tasks)
    flow = cookie.flows(KEY, parse_address(SOURCE), addresses, ports, protocol)
    source_ports = cookie.source_ports(flow.offset, ports, attempt)
    for at, probe in enumerate(stamped(flows, tasks, attempt)):
        read = IP(probe)
        assert (read.src, read.dst) == (SOURCE, format_address(int(addresses[at])))
        assert (read.payload.sport, read.payload.dport) == (source_ports[at], ports[at])
        if protocol == 6:
            assert read.seq == flow.sequence[at]


ANSWERS = {
    "syn-ack": (6, reply_to),
    "reset": (6, lambda probe: reply_to(probe, "RA")),
    "reset with our own number": (6, lambda probe: reply_to(probe, "RA", acknowledge=0)),
    "split handshake": (6, lambda probe: reply_to(probe, "S", acknowledge=0)),
    "error of the target about tcp": (6, error_about),
    "error of a router about tcp": (6, lambda probe: error_about(probe, sender="10.99.0.1", code=13)),
    "datagram": (17, reply_to),
    "error of the target about udp": (17, error_about),
    "error of a router about udp": (17, lambda probe: error_about(probe, sender="10.99.0.1", code=1)),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("ports", [(401,), (401, 3493), (1, 401, 49151, 49152, 65535)], ids=str)
def test_an_answer_names_its_task_and_try(name: str, ports: tuple[int, ...]) -> None:
    protocol, answer = ANSWERS[name]
    flows = flows_of(protocol, ports=ports)
    tasks = np.arange(flows.tasks)[::3]
    for attempt in (0, 1, 2):
        claims = claims_of([answer(probe) for probe in stamped(flows, tasks, attempt)])
        matched = flows.match(claims, tries_of(flows, attempt + 1))
        assert matched.genuine.all()
        order = np.argsort(matched.claims.frame)
        assert matched.task[order].tolist() == tasks.tolist()
        assert matched.attempt.tolist() == [attempt] * len(tasks)
        unsent = flows.match(claims, tries_of(flows, attempt))
        assert unsent.task.tolist() == matched.task.tolist()
        assert not unsent.genuine.any(), "that try was never sent"


@settings(max_examples=40)
@given(
    st.sets(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=12),
    st.sets(st.integers(1, 65535), min_size=1, max_size=4),
    st.sampled_from([6, 17]),
    st.binary(min_size=16, max_size=16),
    st.data(),
)
def test_any_targets(
    addresses: set[int], ports: set[int], protocol: int, key: bytes, data: st.DataObject
) -> None:
    flows = flows_of(
        protocol,
        addresses=AddressSet.from_addresses(np.array(sorted(addresses), dtype=np.uint32)),
        ports=tuple(sorted(ports)),
        key=key,
    )
    tasks = np.array(data.draw(st.lists(st.integers(0, flows.tasks - 1), min_size=1, max_size=5)))
    attempt = data.draw(st.integers(0, 254))
    claims = claims_of([reply_to(probe) for probe in stamped(flows, tasks, attempt)])
    matched = flows.match(claims, tries_of(flows, 255))
    assert matched.task.tolist() == tasks.tolist()
    assert matched.attempt.tolist() == [attempt] * len(tasks)
    assert matched.genuine.all()


FORGED = {
    "wrong acknowledgement": lambda probe: reply_to(probe, acknowledge=2),
    "acknowledgement that only a reset may have": lambda probe: reply_to(probe, acknowledge=0),
    "reset with a wrong acknowledgement": lambda probe: reply_to(probe, "RA", acknowledge=-1),
    "error that quotes another number": lambda probe: error_about(changed(probe, seq=IP(probe).seq ^ 1)),
    "error that quotes another source port": lambda probe: error_about(
        changed(probe, sport=IP(probe).sport - 1)
    ),
    "to another port of ours": lambda probe: moved(reply_to(probe), -1),
    "to the port of a later try": lambda probe: moved(reply_to(probe), 1),
    "to a port that no probe leaves from": lambda probe: to_port(reply_to(probe), 40000),
    "split handshake to another port": lambda probe: moved(reply_to(probe, "S"), 2),
}


def changed(probe: bytes, **fields: int) -> bytes:
    packet = IP(probe)
    for name, value in fields.items():
        packet[TCP].setfieldval(name, value)
    return bytes(packet)


def to_port(packet: Packet, port: int) -> Packet:
    packet.payload.dport = port
    return packet


def moved(packet: Packet, distance: int) -> Packet:
    """To a source port so many tries further on."""
    return to_port(packet, 49152 + (packet.payload.dport - 49152 + distance) % cookie.PORT_SPAN)


@pytest.mark.parametrize("name", FORGED)
def test_forged_answers_name_their_task_but_are_not_genuine(name: str) -> None:
    flows = flows_of()
    tasks = np.arange(flows.tasks)
    claims = claims_of([FORGED[name](probe) for probe in stamped(flows, tasks, 0)])
    matched = flows.match(claims, tries_of(flows, 1))
    assert sorted(matched.task.tolist()) == tasks.tolist()
    assert not matched.genuine.any()


def test_what_names_no_task_is_not_matched() -> None:
    flows = flows_of()
    [probe] = stamped(flows, np.array([0]), 0)
    strangers = [
        bytes(reply_to(stamped(flows_of(source="192.168.7.2"), np.array([0]), 0)[0])),
        bytes(reply_to(stamped(flows_of(17), np.array([0]), 0)[0])),
        bytes(reply_to(stamped(flows_of(ports=(402, 3494)), np.array([0]), 0)[0])),
        bytes(reply_to(stamped(flows_of(ports=(65535,)), np.array([0]), 0)[0])),
        bytes(reply_to(stamped(flows_of(addresses=AddressSet.of([(1, 9)])), np.array([0]), 0)[0])),
        probe,
        bytes(IP(src=SOURCE, dst="10.0.0.3") / TCP(sport=IP(probe).sport, dport=401, flags="R")),
        bytes(IP(src=SOURCE, dst="10.0.0.3") / TCP(sport=IP(probe).sport, dport=401, flags="RA")),
        bytes(IP(src=SOURCE, dst="10.0.0.3") / ICMP(type=3, code=3) / Raw(bytes(reply_to(probe))[:28])),
    ]
    claims = claims_of(strangers)
    assert len(claims) == len(strangers) - 1, "all but the kernel's bare reset claim something"
    assert len(flows.match(claims, tries_of(flows, 1)).task) == 0


@pytest.mark.parametrize("protocol", [6, 17])
def test_our_own_probes_heard_again_on_loopback_answer_nothing(protocol: int) -> None:
    """A SYN or datagram of ours, to one high port from another, looks like that other port's answer."""
    me = AddressSet.of([(parse_address(SOURCE),) * 2])
    flows = flows_of(protocol, addresses=me, ports=tuple(range(1, 65536)))
    tries = np.zeros(flows.tasks, dtype=np.uint8)
    for attempt in range(3):
        tries += 1
        for first in range(32767, flows.tasks, 100):
            tasks = np.arange(first, min(first + 100, flows.tasks))
            packets = flows.stamp(tasks, attempt)
            starts = np.arange(len(packets), dtype=np.int64) * packets.shape[1]
            lengths = np.full(len(packets), packets.shape[1], dtype=np.int64)
            heard = decode_untrusted(packets.reshape(-1), starts, lengths, starts, 101)
            claims = Rules().claims(heard)
            assert len(claims) == len(packets)
            assert not flows.match(claims, tries).genuine.any()


def test_another_key_makes_all_of_it_forged() -> None:
    flows, other = flows_of(), flows_of(key=bytes(16))
    tasks = np.arange(flows.tasks)
    claims = claims_of([reply_to(probe) for probe in stamped(other, tasks, 0)])
    matched = flows.match(claims, tries_of(flows, 255))
    assert len(matched.task) == flows.tasks
    assert not matched.genuine.any()


def test_some_tries_of_each_task() -> None:
    """How often a task was asked is looked up task by task."""
    flows = flows_of()
    tries = np.zeros(flows.tasks, dtype=np.uint8)
    tries[:3] = [1, 2, 3]
    tasks = np.array([0, 1, 2, 3])
    for attempt in range(4):
        claims = claims_of([reply_to(probe) for probe in stamped(flows, tasks, attempt)])
        assert flows.match(claims, tries).genuine.tolist() == [attempt < times for times in (1, 2, 3, 0)]


def test_no_claims() -> None:
    flows = flows_of()
    matched = flows.match(claims_of([]), tries_of(flows, 1))
    assert [len(getattr(matched, name)) for name in matched.__slots__] == [0, 0, 0, 0]
