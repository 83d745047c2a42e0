"""The lab does what its table says: nmap's verdict on every address, and each ICMP error on the wire."""

from __future__ import annotations

import socket
import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import NamedTuple

import pytest

from scanner.lab import Lab, Place
from scanner.lab.behaviours import Route
from scanner.lab.profiles import SMALL
from scanner.model import TRANSPORTS, Protocol, Reason
from tests.lab.nmap_oracle import disagreements, nmap_says

pytestmark = pytest.mark.lab

PORT = 401

# RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1
ICMP = {
    Reason.NET_UNREACH: (3, 0),
    Reason.HOST_UNREACH: (3, 1),
    Reason.PROTO_UNREACH: (3, 2),
    Reason.PORT_UNREACH: (3, 3),
    Reason.NET_PROHIBITED: (3, 9),
    Reason.HOST_PROHIBITED: (3, 10),
    Reason.ADMIN_PROHIBITED: (3, 13),
    Reason.TIME_EXCEEDED: (11, 0),
}


@pytest.mark.usefixtures("nmap")
@pytest.mark.parametrize("protocol", TRANSPORTS)
@pytest.mark.parametrize("prefix", [net.prefix for _, net in SMALL.nets])
def test_nmap_says_of_every_address_what_the_truth_says(lab, tmp_path, protocol, prefix):
    truth = lab.truth(protocol, PORT, prefix)

    seen = nmap_says(lab, protocol, (record["ip"] for record in truth.records()), tmp_path)

    assert len(seen) == len(truth)
    assert disagreements(lab, protocol, seen) == {}


@pytest.mark.usefixtures("nmap")
def test_the_full_lab_keeps_its_word_too(make_lab, tmp_path):
    lab = make_lab("full")
    lab.up()
    places = [IPv4Network(place.prefix) for place in lab.profile.places]
    opened = [IPv4Address(number) for number in lab.plan.open_addresses(Protocol.TCP)[::50]]
    targets = {"10.50.0.0", "10.50.255.255", *map(str, opened)} | {str(p[i]) for p in places for i in (0, -1)}

    seen = nmap_says(lab, Protocol.TCP, sorted(targets), tmp_path)

    assert set(seen) == targets
    assert disagreements(lab, Protocol.TCP, seen) == {}


class Error(NamedTuple):
    """An ICMP error as it came in."""

    sender: str
    kind: tuple[int, int]
    quoted_destination: str


def error_for(lab: Lab, protocol: Protocol, address: str, seconds: float = 2.0) -> Error | None:
    """Send one probe and read the ICMP error that quotes it; None where none comes."""
    kind = socket.SOCK_STREAM if protocol is Protocol.TCP else socket.SOCK_DGRAM
    with lab.enter():
        listener = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        prober = socket.socket(socket.AF_INET, kind)
    with listener, prober:
        prober.setblocking(False)
        if protocol is Protocol.TCP:
            prober.connect_ex((address, PORT))
        else:
            prober.sendto(b"", (address, PORT))
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            listener.settimeout(left)
            try:
                packet, (sender, _) = listener.recvfrom(2048)
            except TimeoutError:
                return None
            icmp = packet[(packet[0] & 0x0F) * 4 :]  # RFC 791: header length in words
            quoted = socket.inet_ntoa(icmp[8 + 16 : 8 + 20])
            if quoted == address:
                return Error(sender, (icmp[0], icmp[1]), quoted)
    return None


REFUSING = [place for place in SMALL.places
            if place.behaviour.tcp.reason in ICMP and place.behaviour.certain]  # fmt: skip
ROUTED_NOWHERE = [place for place in SMALL.places
                  if place.behaviour.route in {Route.UNREACHABLE, Route.PROHIBIT, Route.THROW}]  # fmt: skip


def behaviour_name(value: object) -> str | None:
    return value.behaviour.name if isinstance(value, Place) else None


@pytest.mark.parametrize("protocol", TRANSPORTS)
@pytest.mark.parametrize("place", REFUSING, ids=behaviour_name)
def test_an_icmp_error_has_the_code_and_the_sender_of_the_table(lab, place, protocol):
    first = IPv4Network(place.prefix)[0]
    for address in (str(first), str(first + 5)):
        expected = lab.expected(address, protocol, PORT)

        error = error_for(lab, protocol, address)

        assert error == Error(expected.responder, ICMP[expected.reason], address)


@pytest.mark.parametrize("place", ROUTED_NOWHERE, ids=behaviour_name)
def test_the_routing_table_refuses_as_the_table_says(lab, place):
    address = str(IPv4Network(place.prefix)[0])
    expected = lab.expected(address, Protocol.UDP, PORT)

    # The kernel answers once a second where it was asked too often before.
    errors = (error_for(lab, Protocol.UDP, address, seconds=0.6) for _ in range(10))
    error = next(error for error in errors if error)

    assert error == Error(expected.responder, ICMP[expected.reason], address)


def test_open_hosts_answer_and_close_quietly(lab):
    tcp = str(IPv4Address(lab.plan.open_addresses(Protocol.TCP)[0]))
    udp = str(IPv4Address(lab.plan.open_addresses(Protocol.UDP)[0]))
    with lab.enter():
        stream, datagram = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    with stream, datagram:
        for prober in (stream, datagram):
            prober.settimeout(5)
        stream.connect((tcp, PORT))
        datagram.sendto(b"?", (udp, PORT))

        assert stream.recv(100) == b""
        answer, sender = datagram.recvfrom(100)
        assert answer == b"ghostport lab\n"
        assert sender == (udp, PORT)


def closed_hosts(lab: Lab) -> list[str]:
    taken = set(lab.plan.open_addresses(Protocol.UDP))
    return [str(IPv4Address(a)) for a in range(0x0A320000, 0x0A320200) if a not in taken]


def errors_received(lab: Lab) -> int:
    """How many ICMP errors have reached the prober (RFC 2011, icmpInDestUnreachs)."""
    with lab.enter():
        lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Icmp:"))
    return int(dict(zip(names, values, strict=True))["InDestUnreachs"])


def errors_for(lab: Lab, probes: int) -> int:
    hosts = closed_hosts(lab)
    before = errors_received(lab)
    with lab.enter():
        prober = socket.socket(type=socket.SOCK_DGRAM)
    with prober:
        for probe in range(probes):
            prober.sendto(b"", (hosts[probe % len(hosts)], PORT))
    time.sleep(0.1)
    return errors_received(lab) - before


def test_closed_udp_ports_answer_every_probe_however_fast(lab):
    assert errors_for(lab, 20_000) == 20_000


def test_loss_is_for_both_directions_and_can_be_ended(lab):
    lab.set_loss(50)
    try:
        assert lab.status().loss_percent == 50
        # A quarter survives both ways; 4 standard deviations of 2 000 tries are 77.
        assert 500 - 80 < errors_for(lab, 2_000) < 500 + 80
    finally:
        lab.set_loss(0)
    assert errors_for(lab, 2_000) == 2_000


def test_nothing_is_tracked(lab):
    with lab.enter():
        count = Path("/proc/sys/net/netfilter/nf_conntrack_count")
        if not count.exists():
            pytest.skip("this kernel has no connection tracking at all")
    shown = lab.run(["ip", "netns", "exec", lab.target, "cat", str(count)], capture_output=True, check=True)
    assert int(shown.stdout) == 0
