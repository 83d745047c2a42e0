"""Traffic that is harder to read than a probe and its answer: one way only, in pieces, twice, by two."""

from __future__ import annotations

from scanner.lab.behaviours import TCP_OPEN, TCP_SILENT, UDP_OPEN
from scanner.model import Protocol
from tests.replay.answers import Cut, Pause, Piece, Tcp
from tests.replay.case import Case, Played, Tool
from tests.replay.commands import ON_THE_CABLE, nmap, tcpdump
from tests.replay.hosts import (
    BOTH,
    CLOSED,
    EXPIRED,
    OPEN_TCP,
    REFUSED_BY_ROUTER,
    REFUSED_BY_TARGET,
    ROUTED_NOWHERE,
    SILENT,
    SPLIT_HANDSHAKE,
    TCP,
    UDP,
    UDP_SILENT,
)
from tests.replay.hosts import OPEN_UDP as UDP_HOSTS
from tests.replay.hosts6 import CLOSED6, OPEN6, SILENT6, addresses
from tests.replay.scenes import FAST_OPEN, IPV6, SECOND_PROBER, TWO_PROBERS

_OUTBOUND = tcpdump("-s 2048 --time-stamp-precision=nano -i gpv0 -Q out")
_INBOUND = tcpdump("-s 2048 --time-stamp-precision=nano -i gpv0 -Q in")
_FEW6 = addresses((OPEN6[0], *CLOSED6, SILENT6[0]))

_SYN_ACK = Tcp(flags="SA")
_OTHER = Tcp(flags="RA")
_THIRDS = (Piece(first=0, last=8), Piece(first=8, last=16), Piece(first=16, last=20))


def _in_pieces(*pieces: Piece) -> tuple[Cut]:
    return (Cut(answer=_SYN_ACK, pieces=pieces),)


_FRAGMENTED = {
    "10.50.2.1": Played("three pieces", _in_pieces(*_THIRDS), TCP_OPEN),
    "10.50.2.2": Played("three pieces, the last first", _in_pieces(*reversed(_THIRDS)), TCP_OPEN),
    "10.50.2.3": Played("one piece twice", _in_pieces(_THIRDS[0], *_THIRDS), TCP_OPEN),
    "10.50.2.4": Played(
        "a second piece that overlaps the first",
        _in_pieces(Piece(first=0, last=16), Piece(first=8, last=20)),
        TCP_SILENT,
    ),
    "10.50.2.5": Played(
        "the piece with the flags twice, saying RST the second time",
        _in_pieces(*_THIRDS[:2], Piece(first=8, last=16, of=_OTHER), _THIRDS[2]),
        TCP_OPEN,
    ),
    "10.50.2.6": Played("a piece is missing", _in_pieces(*_THIRDS[1:]), TCP_SILENT),
}

TRAFFIC_CASES = (
    Case(
        name="outbound-syn",
        shows="Only what left was captured. Of nmap's SYN scan the kernel's RST betrays which ports are "
        "open: that is a note, and no verdict.",
        tool=Tool.NMAP,
        command=nmap("-sS", retries=1),
        capture=_OUTBOUND,
        targets=(OPEN_TCP[0], CLOSED[0], REFUSED_BY_TARGET[0], SILENT),
        protocols=TCP,
        partial=True,
        one_way=True,
        inferred=(OPEN_TCP[0],),
    ),
    Case(
        name="outbound-connect",
        shows="Only what left was captured, of whole connections: the third packet of the handshake betrays "
        "that there was a second.",
        tool=Tool.NMAP,
        command=nmap("-sT", retries=1),
        capture=_OUTBOUND,
        targets=(*OPEN_TCP[:2], CLOSED[0], SILENT),
        protocols=TCP,
        partial=True,
        one_way=True,
        inferred=OPEN_TCP[:2],
    ),
    Case(
        name="outbound-udp",
        shows="Only what left was captured, over UDP: the kernel's ICMP errors quote answers, and are no "
        "probes.",
        tool=Tool.NMAP,
        command=nmap("-sU", retries=1),
        capture=_OUTBOUND,
        targets=(UDP_HOSTS[0], CLOSED[0], UDP_SILENT),
        protocols=UDP,
        partial=True,
        one_way=True,
    ),
    Case(
        name="outbound-silent",
        shows="Only what left was captured, to hosts that drop all: nothing betrays anything.",
        tool=Tool.NMAP,
        command=nmap("-sS", retries=1),
        capture=_OUTBOUND,
        targets=(SILENT, "10.50.2.14"),
        protocols=TCP,
        partial=True,
        one_way=True,
    ),
    Case(
        name="outbound-ipv6",
        shows="Only what left was captured, over IPv6.",
        tool=Tool.NMAP,
        command=nmap("-6 -sS", retries=1),
        capture=_OUTBOUND,
        targets=_FEW6,
        protocols=TCP,
        scene=IPV6,
        partial=True,
        one_way=True,
        inferred=(_FEW6[0],),
    ),
    Case(
        name="inbound",
        shows="Only what came was captured: answers without questions say nothing, as nobody knows that they "
        "were asked for.",
        tool=Tool.NMAP,
        command=nmap("-sS", retries=1),
        capture=_INBOUND,
        targets=(OPEN_TCP[0], CLOSED[0], REFUSED_BY_ROUTER[1]),
        protocols=TCP,
        partial=True,
    ),
    Case(
        name="fragments-syn",
        shows="nmap -f: each SYN in three fragments, its flags in the second. Routers quote the first alone: "
        "ports and sequence number are in it.",
        tool=Tool.NMAP,
        command=nmap("-sS -f", retries=1),
        capture=ON_THE_CABLE,
        targets=(OPEN_TCP[0], CLOSED[0], REFUSED_BY_TARGET[1], EXPIRED[0], ROUTED_NOWHERE[1], SILENT),
        protocols=TCP,
    ),
    Case(
        name="fragments-syn-16",
        shows="nmap --mtu 16: each SYN in two fragments, its flags in the first.",
        tool=Tool.NMAP,
        command=nmap("-sS --mtu 16", retries=1),
        capture=ON_THE_CABLE,
        targets=(OPEN_TCP[0], CLOSED[0], SILENT),
        protocols=TCP,
    ),
    Case(
        name="fragments-udp",
        shows="An answer that does not fit into one packet: three fragments, of which only the first has the "
        "ports.",
        tool=Tool.NMAP,
        command=nmap("-sU"),
        capture=ON_THE_CABLE,
        targets=(CLOSED[0], UDP_HOSTS[0]),
        protocols=UDP,
        service=f"large {CLOSED[0]} 401",
        elsewhere={CLOSED[0]: UDP_OPEN},
    ),
    Case(
        name="fragments-replies",
        shows="SYN/ACKs in fragments: out of order, doubled, overlapping. The prober's own kernel is the "
        "witness: where pieces overlap, it takes none.",
        tool=Tool.NMAP,
        command=nmap("-sT", retries=0),
        capture=ON_THE_CABLE,
        targets=tuple(_FRAGMENTED),
        protocols=TCP,
        played=_FRAGMENTED,
    ),
    Case(
        name="refused-then-open",
        shows="Two scans in one capture. At the first nobody listened, at the second somebody did: open, and "
        "the refusal stays as evidence.",
        tool=Tool.NMAP,
        command=f"sh -c '{nmap('-sS -sU', retries=0)}; sleep 2; {nmap('-sS -sU', retries=0)}'",
        capture=ON_THE_CABLE,
        targets=(CLOSED[0], CLOSED[1], REFUSED_BY_ROUTER[1]),
        protocols=BOTH,
        service=f"late {CLOSED[0]} 401 2",
        listens_late=(CLOSED[0],),
    ),
    Case(
        name="syn-with-data",
        shows="A SYN with data. The kernels here do not take it, and acknowledge the SYN alone.",
        tool=Tool.SCAPY,
        command="python -m tests.replay.scapy_sr --data ghostport {targets}",
        capture=ON_THE_CABLE,
        targets=(OPEN_TCP[0], CLOSED[0], SILENT, REFUSED_BY_ROUTER[1]),
        protocols=TCP,
    ),
    Case(
        name="fast-open",
        shows="TCP Fast Open: a SYN with data, and kernels that take it. The SYN/ACK acknowledges the data "
        "too.",
        tool=Tool.SCAPY,
        command="python -m tests.replay.scapy_sr --fast-open --data ghostport {targets}",
        capture=ON_THE_CABLE,
        targets=(OPEN_TCP[0], CLOSED[0], SILENT),
        protocols=TCP,
        scene=FAST_OPEN,
    ),
    Case(
        name="simultaneous-open",
        shows="A whole simultaneous open (RFC 9293 section 3.5): SYN against SYN, and SYN/ACK against "
        "SYN/ACK.",
        tool=Tool.NMAP,
        command=nmap("-sT", retries=0),
        capture=ON_THE_CABLE,
        targets=("10.50.2.1", "10.50.2.2"),
        protocols=TCP,
        played={
            "10.50.2.1": Played(
                "a SYN, then SYN/ACK",
                (Tcp(flags="S", acknowledging=None), Pause(0.02), _SYN_ACK),
                SPLIT_HANDSHAKE,
            ),
            "10.50.2.2": Played("a SYN alone", (Tcp(flags="S", acknowledging=None),), SPLIT_HANDSHAKE),
        },
        ignored=("10.50.2.2",),
    ),
    Case(
        name="two-probers",
        shows="Two probers in one capture. One is refused by a firewall, the other finds what is there: "
        "together they know what the better one knows.",
        tool=Tool.NMAP,
        command=f"sh -c '{nmap(f'-sS -S {SECOND_PROBER} -e gpv0', retries=0)}; {nmap('-sS', retries=0)}'",
        capture=ON_THE_CABLE,
        targets=(OPEN_TCP[0], CLOSED[0], SILENT, REFUSED_BY_ROUTER[1]),
        protocols=(Protocol.TCP,),
        scene=TWO_PROBERS,
    ),
)
