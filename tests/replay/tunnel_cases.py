"""Tags, labels and tunnels: probe and reply inside of something else, captured outside."""

from __future__ import annotations

from scanner.lab.behaviours import UDP_OPEN as UDP_OPENED
from scanner.model import Protocol
from tests.replay.case import Case, Tool
from tests.replay.commands import ON_THE_CABLE, nmap, tcpdump, watched_sweep
from tests.replay.encapsulation import Encapsulation
from tests.replay.hosts import (
    BOTH,
    CLOSED,
    OPEN_TCP,
    OPEN_UDP,
    REFUSED_BY_ROUTER,
    REFUSED_BY_TARGET,
    SILENT,
    UDP,
)
from tests.replay.hosts6 import (
    CLOSED6,
    EXPIRED6,
    OPEN6,
    REFUSED6_BY_ROUTER,
    REFUSED6_BY_TARGET,
    SILENT6,
    addresses,
)
from tests.replay.scenes import carried, carried6, vxlan

_FEW = (OPEN_UDP[0], OPEN_TCP[0], CLOSED[0], REFUSED_BY_TARGET[0], REFUSED_BY_ROUTER[6])
_FEW6 = addresses((OPEN6[0], *CLOSED6, SILENT6[0], REFUSED6_BY_TARGET[0], REFUSED6_BY_ROUTER[1]))

_SHOWN = {
    Encapsulation.VLAN: "An 802.1Q tag stands before every packet, as on a trunk port. Short frames are "
    "filled up to 60 bytes, and what fills them is nobody's data.",
    Encapsulation.QINQ: "Two VLAN tags, the provider's and the customer's.",
    Encapsulation.PRIORITY_TAG: "A tag that gives a priority and names no VLAN.",
    Encapsulation.MPLS: "Two MPLS labels, and nothing that says what is behind them but its first bits.",
    Encapsulation.PPPOE: "A PPPoE session, as between a subscriber and the provider.",
    Encapsulation.GRE: "A GRE tunnel: outside two tunnel ends talk to each other, inside is the scan.",
    Encapsulation.GRE_KEYED: "A GRE tunnel with key and sequence number in its header.",
    Encapsulation.GRETAP: "A GRE tunnel in which there are Ethernet frames.",
    Encapsulation.IPIP: "IPv4 in IPv4.",
    Encapsulation.IPV4_IN_IPV6: "IPv4 in IPv6 (4in6).",
}

TUNNEL_CASES = (
    *(
        Case(
            name=str(kind),
            shows=shown,
            tool=Tool.NMAP,
            command=nmap("-sS -sU", retries=1),
            capture=ON_THE_CABLE,
            targets=_FEW,
            protocols=BOTH,
            scene=carried(kind),
        )
        for kind, shown in _SHOWN.items()
    ),
    *(
        Case(
            name=f"{kind}-ipv6",
            shows=shown,
            tool=Tool.NMAP,
            command=nmap("-6 -sS -sU", retries=1),
            capture=ON_THE_CABLE,
            targets=_FEW6,
            protocols=BOTH,
            scene=carried6(kind),
        )
        for kind, shown in (
            (Encapsulation.SIT, "IPv6 in IPv4 (6in4)."),
            (Encapsulation.VLAN, "IPv6 behind a VLAN tag."),
            (Encapsulation.MPLS, "IPv6 behind two MPLS labels."),
            (Encapsulation.PPPOE, "IPv6 in a PPPoE session."),
            (Encapsulation.GRE, "IPv6 in a GRE tunnel."),
        )
    ),
    Case(
        name="sit-time-exceeded",
        shows="ICMPv6 errors inside a tunnel count as outside: they quote a probe that went by the same one.",
        tool=Tool.NMAP,
        command=nmap("-6 -sS -sU", retries=0),
        capture=ON_THE_CABLE,
        targets=addresses(EXPIRED6),
        protocols=BOTH,
        scene=carried6(Encapsulation.SIT),
        ignored=addresses(EXPIRED6),
    ),
    Case(
        name="gre-device",
        shows="The near end of a GRE tunnel: the device from which the packets come bare, with no link "
        "header at all (raw IP).",
        tool=Tool.NMAP,
        command=nmap("-sS -sU", retries=1),
        capture=tcpdump("-s 2048 -i gpt0"),
        targets=_FEW,
        protocols=BOTH,
        scene=carried(Encapsulation.GRE),
    ),
    Case(
        name="gre-both-sides",
        shows="Two interfaces in one pcapng file, of different link types: each packet is seen bare on the "
        "tunnel's device, and again inside GRE on the cable. Nobody asked twice.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU", retries=0),
        capture="dumpcap -q -i gpt0 -i gpv0 -w capture.pcapng",
        targets=_FEW,
        protocols=BOTH,
        scene=carried(Encapsulation.GRE),
    ),
    Case(
        name="gre-fragments",
        shows="An answer in fragments, each in a GRE packet of its own.",
        tool=Tool.NMAP,
        command=nmap("-sU"),
        capture=ON_THE_CABLE,
        targets=(OPEN_UDP[0], CLOSED[0]),
        protocols=UDP,
        scene=carried(Encapsulation.GRE),
        service=f"large {CLOSED[0]} 401",
        elsewhere={CLOSED[0]: UDP_OPENED},
    ),
    Case(
        name="vxlan",
        shows="A VXLAN: Ethernet frames in UDP datagrams, whose own source port changes with the flow.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU", retries=1),
        capture=ON_THE_CABLE,
        targets=(*_FEW, SILENT),
        protocols=BOTH,
        scene=vxlan(),
    ),
    Case(
        name="vxlan-any",
        shows="A VXLAN on the pseudo-device `any`: each packet is seen inside and outside.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU", retries=0),
        capture=tcpdump("-s 2048 -i any -y LINUX_SLL2"),
        targets=_FEW,
        protocols=BOTH,
        scene=vxlan(),
    ),
    Case(
        name="vxlan-fragments",
        shows="An answer in fragments, in VXLAN packets that are cut again outside.",
        tool=Tool.NMAP,
        command=nmap("-sU"),
        capture=ON_THE_CABLE,
        targets=(OPEN_UDP[0], CLOSED[0]),
        protocols=UDP,
        scene=vxlan(mtu=1500),
        service=f"large {CLOSED[0]} 401",
        elsewhere={CLOSED[0]: UDP_OPENED},
    ),
    Case(
        name="vxlan-crossed",
        shows="Two networks with the same addresses: the probes are in one VXLAN, the replies in another, "
        "and answer none of them. Written so: what the router sent has another network's number.",
        tool=Tool.NMAP,
        command=nmap("-sS", retries=0),
        capture=ON_THE_CABLE.replace("capture.pcap", "cable.pcap"),
        targets=(OPEN_TCP[0], CLOSED[0], REFUSED_BY_ROUTER[6], SILENT),
        protocols=(Protocol.TCP,),
        scene=vxlan(),
        finish=("python -m tests.replay.rewrite --crossed cable.pcap capture.pcap",),
        partial=True,
        inferred=(OPEN_TCP[0],),
    ),
    Case(
        name="vxlan-sweep",
        shows="Our own sweep through a VXLAN, captured outside of it, with its plan beside: cookies hold in "
        "there too.",
        tool=Tool.SWEEP,
        command=watched_sweep("--tcp --udp --retries 1 --wait 0.3"),
        capture=ON_THE_CABLE,
        targets=(*_FEW, SILENT),
        protocols=BOTH,
        scene=vxlan(),
    ),
    Case(
        name="vxlan-masscan",
        shows="masscan through a VXLAN.",
        tool=Tool.MASSCAN,
        command="timeout -k 1 2 masscan --interface gpx1 --adapter-ip 10.51.0.1 --router-ip 10.51.0.2 -p401 "
        "--rate 100 --wait 1 --retries 0 {targets}",
        capture=ON_THE_CABLE,
        targets=(*OPEN_TCP, *CLOSED, REFUSED_BY_TARGET[0], SILENT),
        protocols=(Protocol.TCP,),
        scene=vxlan(),
        exit_codes=(0, 124, 137),
    ),
)
