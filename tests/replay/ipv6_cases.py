"""IPv6: what hosts and routers say over it, and the headers that may stand before what they say."""

from __future__ import annotations

from scanner.lab.behaviours import (
    TCP_CLOSED,
    TCP_OPEN,
    TCP_SILENT,
    UDP_CLOSED,
    UDP_OPEN,
    UDP_SILENT,
    Outcome,
    Responder,
)
from scanner.model import Protocol, Reason, State
from tests.replay.answers import Answer, Cut, Icmp, Piece, Tcp, Udp
from tests.replay.case import Case, Played, Tool
from tests.replay.commands import ON_THE_CABLE, nmap, tcpdump
from tests.replay.hosts import BOTH, SPLIT_HANDSHAKE, TCP, UDP
from tests.replay.hosts6 import (
    CLOSED6,
    EXPIRED6,
    OPEN6,
    REFUSED6_BY_ROUTER,
    REFUSED6_BY_TARGET,
    SCRIPTED6,
    SILENT6,
    addresses,
)
from tests.replay.scenes import IPV6, LINK_LOCAL_ROUTER

_BY_ROUTER = {
    reason: Outcome(State.FILTERED, reason, Responder.ROUTER)
    for reason in (Reason.BEYOND_SCOPE, Reason.TIME_EXCEEDED, Reason.PROTO_UNREACH, Reason.NO_ROUTE)
}
_EVERYONE = addresses((*OPEN6, *CLOSED6, *SILENT6))
_FEW = addresses((OPEN6[0], *CLOSED6, SILENT6[0], REFUSED6_BY_ROUTER[1]))
_POLICY_FAIL = (REFUSED6_BY_TARGET[4], REFUSED6_BY_ROUTER[4])
_REFUSED = addresses((*REFUSED6_BY_TARGET, *REFUSED6_BY_ROUTER))


def _played(*plays: tuple[str, tuple[Answer, ...], Outcome]) -> dict[str, Played]:
    return {
        address: Played(does, answers, outcome)
        for address, (does, answers, outcome) in zip(SCRIPTED6, plays, strict=False)
    }


def _odd_icmp(silence: Outcome) -> dict[str, Played]:
    return _played(
        ("beyond scope (1/2)", (Icmp(kind=1, code=2),), _BY_ROUTER[Reason.BEYOND_SCOPE]),
        ("a code that has no meaning (1/9)", (Icmp(kind=1, code=9),), silence),
        ("packet too big (2/0)", (Icmp(kind=2, code=0),), silence),
        ("time exceeded (3/0)", (Icmp(kind=3, code=0),), _BY_ROUTER[Reason.TIME_EXCEEDED]),
        ("time exceeded in reassembly (3/1)", (Icmp(kind=3, code=1),), _BY_ROUTER[Reason.TIME_EXCEEDED]),
        ("erroneous header field (4/0)", (Icmp(kind=4, code=0),), silence),
        ("unrecognised next header (4/1)", (Icmp(kind=4, code=1),), _BY_ROUTER[Reason.PROTO_UNREACH]),
        ("unrecognised option (4/2)", (Icmp(kind=4, code=2),), silence),
        ("no route, 4 bytes of the probe quoted", (Icmp(kind=1, code=0, quoted=4),), silence),
        ("no route, for another source port", (Icmp(kind=1, code=0, from_port=-77),), silence),
    )


def _behind_extensions(protocol: Protocol) -> dict[str, Played]:
    if protocol is Protocol.TCP:
        return _played(
            ("SYN/ACK", (Tcp(flags="SA", options=True),), TCP_OPEN),
            ("RST", (Tcp(flags="RA", options=True),), TCP_CLOSED),
            ("no route (1/0)", (Icmp(kind=1, code=0, options=True),), _BY_ROUTER[Reason.NO_ROUTE]),
        )
    own = Icmp(kind=1, code=4, from_target=True, options=True)
    return _played(
        ("a datagram", (Udp(options=True),), UDP_OPEN),
        ("port unreachable (1/4)", (own,), UDP_CLOSED),
        ("no route (1/0)", (Icmp(kind=1, code=0, options=True),), _BY_ROUTER[Reason.NO_ROUTE]),
    )


_SYN_ACK, _WITH_DATA = Tcp(flags="SA"), Tcp(flags="SA", data=b"sixteen bytes...")

IPV6_CASES = (
    Case(
        name="ipv6-tcp",
        shows="nmap's SYN scan over IPv6: open, closed, and two kinds of silence.",
        tool=Tool.NMAP,
        command=nmap("-6 -sS"),
        capture=ON_THE_CABLE,
        targets=_EVERYONE,
        protocols=TCP,
        scene=IPV6,
    ),
    Case(
        name="ipv6-udp",
        shows="nmap's UDP scan over IPv6. Nobody listens where the target itself says so: ICMPv6 type 1 "
        "code 4.",
        tool=Tool.NMAP,
        command=nmap("-6 -sU"),
        capture=ON_THE_CABLE,
        targets=_EVERYONE,
        protocols=UDP,
        scene=IPV6,
    ),
    *(
        Case(
            name=f"ipv6-refused-{protocol}",
            shows="Probes refused by ICMPv6 type 1, codes 0, 1, 3, 4, 5 and 6, by hosts and by a router.",
            tool=Tool.NMAP,
            command=nmap(f"-6 -s{kind}", retries=1),
            capture=ON_THE_CABLE,
            targets=_REFUSED,
            protocols=(protocol,),
            scene=IPV6,
            believed={host.address: (State.FILTERED, Reason.ADMIN_PROHIBITED) for host in _POLICY_FAIL},
        )
        for protocol, kind in ((Protocol.TCP, "S"), (Protocol.UDP, "U"))
    ),
    Case(
        name="ipv6-time-exceeded",
        shows="ICMPv6 type 3 is time exceeded, and not unreachable as in IPv4. nmap leaves it out of "
        "account.",
        tool=Tool.NMAP,
        command=nmap("-6 -sS -sU", retries=1),
        capture=ON_THE_CABLE,
        targets=addresses(EXPIRED6),
        protocols=BOTH,
        scene=IPV6,
        ignored=addresses(EXPIRED6),
    ),
    *(
        Case(
            name=f"ipv6-odd-icmp-{protocol}",
            shows="ICMPv6 in all its types: some decide, some speak of something else, some quote too "
            "little.",
            tool=Tool.NMAP,
            command=nmap(f"-6 -s{kind}", retries=0),
            capture=ON_THE_CABLE,
            targets=tuple(_odd_icmp(silence)),
            protocols=(protocol,),
            scene=IPV6,
            played=_odd_icmp(silence),
            ignored=tuple(_odd_icmp(silence)),
        )
        for protocol, kind, silence in (
            (Protocol.TCP, "S", TCP_SILENT),
            (Protocol.UDP, "U", UDP_SILENT),
        )
    ),
    *(
        Case(
            name=f"ipv6-extension-headers-{protocol}",
            shows="Replies behind hop-by-hop options, destination options, and a fragment header of a packet "
            "that is whole.",
            tool=Tool.NMAP,
            command=nmap(f"-6 -s{kind}", retries=0),
            capture=ON_THE_CABLE,
            targets=tuple(_behind_extensions(protocol)),
            protocols=(protocol,),
            scene=IPV6,
            played=_behind_extensions(protocol),
            ignored=tuple(_behind_extensions(protocol)),
        )
        for protocol, kind in ((Protocol.TCP, "S"), (Protocol.UDP, "U"))
    ),
    Case(
        name="ipv6-fragments",
        shows="Replies over IPv6 in fragments. The prober's kernel puts them together and goes on, or not: "
        "pieces that overlap make it discard them all (RFC 5722).",
        tool=Tool.NMAP,
        command=nmap("-6 -sT", retries=0),
        capture=ON_THE_CABLE,
        targets=SCRIPTED6[:2],
        protocols=TCP,
        scene=IPV6,
        played=_played(
            (
                "SYN/ACK behind the header of a fragment that is whole",
                (Cut(answer=_SYN_ACK, pieces=(Piece(first=0, last=20),)),),
                TCP_OPEN,
            ),
            (
                "SYN/ACK with data in two pieces that overlap",
                (Cut(answer=_WITH_DATA, pieces=(Piece(first=0, last=24), Piece(first=16, last=36))),),
                TCP_SILENT,
            ),
        ),
    ),
    Case(
        name="ipv6-fragments-udp",
        shows="An answer over IPv6 that does not fit into one packet: three fragments, of which the first "
        "has the ports.",
        tool=Tool.NMAP,
        command=nmap("-6 -sU"),
        capture=ON_THE_CABLE,
        targets=(CLOSED6[0].address,),
        protocols=UDP,
        scene=IPV6,
        service=f"large {CLOSED6[0].address} 401",
        elsewhere={CLOSED6[0].address: UDP_OPEN},
    ),
    Case(
        name="ipv6-connect",
        shows="Whole connections over IPv6, made by the kernel.",
        tool=Tool.NMAP,
        command=nmap("-6 -sT", retries=1),
        capture=ON_THE_CABLE,
        targets=_FEW,
        protocols=TCP,
        scene=IPV6,
        # connect(2) has no errno by which nmap would know.
        ignored=_FEW[-1:],
    ),
    Case(
        name="ipv6-link-local",
        shows="Link-local addresses: the router's own, and one of which nobody answers.",
        tool=Tool.NMAP,
        command=nmap("-6 -sS -e gpv0", retries=1).replace("{targets}", f"{LINK_LOCAL_ROUTER}%gpv0"),
        capture=ON_THE_CABLE,
        targets=(LINK_LOCAL_ROUTER,),
        protocols=TCP,
        scene=IPV6,
        elsewhere={LINK_LOCAL_ROUTER: TCP_CLOSED},
    ),
    Case(
        name="ipv6-any",
        shows="IPv6 on the pseudo-device `any`.",
        tool=Tool.NMAP,
        command=nmap("-6 -sS -sU", retries=1),
        capture=tcpdump("-s 2048 -i any -y LINUX_SLL2"),
        targets=_FEW,
        protocols=BOTH,
        scene=IPV6,
    ),
    Case(
        name="ipv6-loopback",
        shows="IPv6 on the loopback: prober and target are `::1`.",
        tool=Tool.NMAP,
        command=nmap("-6 -sS -sU"),
        capture=tcpdump("-s 2048 -i lo"),
        targets=("::1",),
        protocols=BOTH,
        listening=("::1",),
    ),
    Case(
        name="ipv6-scapy",
        shows="Scapy's `sr` over IPv6, behind an extension header.",
        tool=Tool.SCAPY,
        command="python -m tests.replay.scapy_sr --extensions {targets}",
        capture=ON_THE_CABLE,
        targets=_FEW,
        protocols=TCP,
        scene=IPV6,
    ),
    Case(
        name="ipv6-simultaneous-open",
        shows="A SYN is answered with a SYN over IPv6.",
        tool=Tool.NMAP,
        command=nmap("-6 -sS", retries=0),
        capture=ON_THE_CABLE,
        targets=SCRIPTED6[:1],
        protocols=TCP,
        scene=IPV6,
        played=_played(("a SYN", (Tcp(flags="S", acknowledging=None),), SPLIT_HANDSHAKE)),
    ),
    Case(
        name="ipv6-raw",
        shows="IPv6 without a link header, by the link type that is IPv6 alone (229). Written of the frames "
        "that tcpdump had captured, as no device here records it.",
        tool=Tool.NMAP,
        command=nmap("-6 -sS -sU", retries=1),
        capture=ON_THE_CABLE.replace("capture.pcap", "cable.pcap"),
        targets=_FEW,
        protocols=BOTH,
        scene=IPV6,
        finish=("python -m tests.replay.rewrite --link 229 cable.pcap capture.pcap",),
    ),
    Case(
        name="ipv6-null",
        shows="IPv6 by the link type of the BSDs' loopback (NULL), written so.",
        tool=Tool.NMAP,
        command=nmap("-6 -sS -sU", retries=1),
        capture=ON_THE_CABLE.replace("capture.pcap", "cable.pcap"),
        targets=_FEW,
        protocols=BOTH,
        scene=IPV6,
        finish=("python -m tests.replay.rewrite --link 0 cable.pcap capture.pcap",),
    ),
)
