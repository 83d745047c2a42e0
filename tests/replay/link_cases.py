"""Link types: what Linux records but Ethernet, and what others record, written by ourselves."""

from __future__ import annotations

from tests.replay.case import Case, Tool
from tests.replay.commands import ON_THE_CABLE, nmap, tcpdump
from tests.replay.hosts import BOTH, CLOSED, OPEN_TCP, OPEN_UDP, REFUSED_BY_ROUTER, REFUSED_BY_TARGET, SILENT
from tests.replay.scenes import BRIDGED, LOGGED

_FEW = (OPEN_UDP[0], OPEN_TCP[0], CLOSED[0], REFUSED_BY_TARGET[0], REFUSED_BY_ROUTER[6])
_CABLE = ON_THE_CABLE.replace("capture.pcap", "cable.pcap")
_WRITTEN = "Written of the frames that tcpdump had captured, as no device here records it."


def _converted(name: str, shows: str, *finish: str) -> Case:
    return Case(
        name=name,
        shows=shows,
        tool=Tool.NMAP,
        command=nmap("-sS -sU", retries=1),
        capture=_CABLE,
        targets=_FEW,
        protocols=BOTH,
        finish=finish,
    )


def _rewritten(name: str, shows: str, options: str) -> Case:
    command = f"python -m tests.replay.rewrite {options} cable.pcap capture.pcap"
    return _converted(name, f"{shows} {_WRITTEN}", command)


LINK_CASES = (
    Case(
        name="nflog",
        shows="Packets that a firewall logged: no link header but Netfilter's own list of attributes.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU --send-ip", retries=1),
        capture=tcpdump("-s 2048 -i nflog:401"),
        targets=_FEW,
        protocols=BOTH,
        scene=LOGGED,
    ),
    Case(
        name="any-bridged",
        shows="The pseudo-device `any` on a host whose cable is part of a bridge: each frame is there twice, "
        "a moment apart. A copy is no second try.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU", retries=1),
        capture=tcpdump("-s 2048 -i any -y LINUX_SLL2"),
        targets=(*_FEW, SILENT),
        protocols=BOTH,
        scene=BRIDGED,
    ),
    _rewritten("null", "The BSDs' loopback: four bytes with the address family in the recorder's byte order.",
               "--link 0"),
    _rewritten("null-big-endian", "The same by a machine that puts the highest byte first, the file as well.",
               "--link 0 --order big"),
    _rewritten("loop", "OpenBSD's loopback: the address family always with the highest byte first.",
               "--link 108"),
    _converted("raw-ip", "Raw IP (101): editcap takes off the link header.",
               "editcap -F nsecpcap -C 14 -L -T rawip cable.pcap capture.pcap"),
    _converted("raw-ipv4", "Raw IP by the link type that is IPv4 alone (228): editcap takes off the link "
                           "header.",
               "editcap -F nsecpcap -C 14 -L -T rawip4 cable.pcap capture.pcap"),
    _rewritten("raw-12", "Raw IP by the number that most systems give it inside (12).", "--link 12"),
    _rewritten("raw-14", "Raw IP by the number that OpenBSD gives it inside (14).", "--link 14"),
    _rewritten("ppp", "PPP (9), with its address and control field.", "--link 9"),
    _rewritten("ppp-hdlc", "PPP in HDLC-like framing (50).", "--link 50"),
    _rewritten("ppp-ether", "PPPoE without the Ethernet around it (51).", "--link 51"),
    _rewritten("erspan", "A switch's mirror port by ERSPAN: every frame, of whatever direction, is sent in "
               "GRE to the one who watches.", "--mirrored"),
)  # fmt: skip
