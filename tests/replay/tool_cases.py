"""Captures made beside other tools: what users bring, in the shapes in which they bring it."""

from __future__ import annotations

from scanner.lab.behaviours import TCP_SILENT
from scanner.model import Reason, State
from tests.replay.answers import Icmp, Tcp
from tests.replay.case import Case, Played, Tool
from tests.replay.commands import ON_THE_CABLE, nmap, tcpdump
from tests.replay.hosts import (
    BOTH,
    CLOSED,
    EXPIRED,
    OPEN_TCP,
    OPEN_UDP,
    REFUSED_BY_ROUTER,
    REFUSED_BY_TARGET,
    RESET_BY_FIREWALL,
    SILENT,
    SILENT_ROUTER,
    SPLIT_HANDSHAKE,
    TCP,
    UDP,
    UDP_SILENT,
)

TOOL_CASES = (
    Case(
        name="nmap-tcp",
        shows="nmap's SYN scan, captured beside it: the prober's kernel tears down with a RST what nmap "
        "opened, and that RST is nobody's reply.",
        tool=Tool.NMAP,
        command=nmap("-sS"),
        capture=ON_THE_CABLE,
        targets=(*OPEN_TCP, *CLOSED, RESET_BY_FIREWALL, SILENT, SILENT_ROUTER),
        protocols=TCP,
    ),
    Case(
        name="nmap-udp",
        shows="nmap's UDP scan. The prober's kernel refuses the answers, as nmap has no socket for them; "
        "those ICMP errors are its own, and say nothing of a target.",
        tool=Tool.NMAP,
        command=nmap("-sU"),
        capture=ON_THE_CABLE,
        targets=(*OPEN_UDP, *CLOSED, UDP_SILENT, SILENT_ROUTER),
        protocols=UDP,
    ),
    Case(
        name="nmap-refused-tcp",
        shows="nmap's SYN probes refused by ICMP type 3 in all its codes, from hosts and from a router, and "
        "expired on the way.",
        tool=Tool.NMAP,
        command=nmap("-sS"),
        capture=ON_THE_CABLE,
        targets=(*REFUSED_BY_TARGET, *REFUSED_BY_ROUTER, *EXPIRED),
        protocols=TCP,
    ),
    Case(
        name="nmap-refused-udp",
        shows="nmap's UDP probes refused by ICMP type 3 in all its codes, from hosts and from a router, and "
        "expired on the way.",
        tool=Tool.NMAP,
        command=nmap("-sU"),
        capture=ON_THE_CABLE,
        targets=(*REFUSED_BY_TARGET, *REFUSED_BY_ROUTER, *EXPIRED),
        protocols=UDP,
    ),
    Case(
        name="nmap-lost-first-tries",
        shows="nmap's first probe of each kind is lost, and its second answered; it changes the source port "
        "as well.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU"),
        capture=ON_THE_CABLE,
        targets=(OPEN_UDP[0], OPEN_TCP[0], CLOSED[0]),
        protocols=BOTH,
        firewall=tuple(
            f"ip daddr {address} meta l4proto {protocol} numgen inc mod 4 < 1 drop"
            for protocol in ("tcp", "udp")
            for address in (OPEN_TCP[0], OPEN_UDP[0], CLOSED[0])
        ),
    ),
    Case(
        name="nmap-any",
        shows="Captured on the pseudo-device `any`, whose link header is Linux's cooked one, version 2, "
        "with times in microseconds.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU"),
        capture=tcpdump("-s 2048 -i any -y LINUX_SLL2"),
        targets=(OPEN_UDP[0], OPEN_TCP[0], CLOSED[0], REFUSED_BY_TARGET[0], REFUSED_BY_ROUTER[0]),
        protocols=BOTH,
    ),
    Case(
        name="nmap-any-sll",
        shows="Captured on the pseudo-device `any` as older versions of libpcap do: Linux's cooked link "
        "header, version 1; 100 bytes of each frame were kept.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU"),
        capture=tcpdump("-s 100 -i any -y LINUX_SLL"),
        targets=(OPEN_UDP[0], OPEN_TCP[0], CLOSED[0], REFUSED_BY_TARGET[0], REFUSED_BY_ROUTER[0]),
        protocols=BOTH,
    ),
    Case(
        name="nmap-pcapng",
        shows="Captured by dumpcap, as Wireshark would: a pcapng file.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU"),
        capture="dumpcap -q -i gpv0 -w capture.pcapng",
        targets=(OPEN_UDP[0], OPEN_TCP[0], CLOSED[0], REFUSED_BY_TARGET[0], REFUSED_BY_ROUTER[0]),
        protocols=BOTH,
    ),
    Case(
        name="nmap-loopback",
        shows="Prober and target are one machine, and one address: who spoke first is the prober. Its "
        "kernel's RST after the SYN/ACK comes from the very address that answered.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU"),
        capture=tcpdump("-s 2048 -i lo"),
        targets=("127.0.0.1", "127.0.0.2"),
        protocols=BOTH,
        listening=("127.0.0.1",),
    ),
    Case(
        name="nmap-source-port",
        shows="Probes from port 401 to port 401: both ends of a flow look alike, and answers to UDP probes "
        "look like probes. Who spoke first is the prober.",
        tool=Tool.NMAP,
        command=nmap("-sS -sU -g 401"),
        capture=ON_THE_CABLE,
        targets=(OPEN_UDP[0], OPEN_TCP[0], CLOSED[0], REFUSED_BY_ROUTER[3]),
        protocols=BOTH,
    ),
    Case(
        name="nmap-connect",
        shows="Whole connections, made by the kernel as any program makes them: handshake, and an end with "
        "RST/ACK by the prober.",
        tool=Tool.NMAP,
        command=nmap("-sT"),
        capture=ON_THE_CABLE,
        targets=(*OPEN_TCP, CLOSED[0], REFUSED_BY_TARGET[1], REFUSED_BY_ROUTER[6], SILENT),
        protocols=TCP,
    ),
    Case(
        name="nmap-on-link",
        shows="On the prober's own link nmap asks for hardware addresses as we do. To who does not answer "
        "it sends no probe, so of them a capture alone says nothing.",
        tool=Tool.NMAP,
        command=nmap("-sS"),
        capture=ON_THE_CABLE,
        targets=("10.49.0.2", "10.49.0.9", "10.49.0.10", "10.49.0.11"),
        protocols=TCP,
    ),
    Case(
        name="nmap-split-handshake",
        shows="nmap's SYN is answered with a SYN.",
        tool=Tool.NMAP,
        command=nmap("-sS"),
        capture=ON_THE_CABLE,
        targets=("10.50.2.1",),
        protocols=TCP,
        played={"10.50.2.1": Played("a SYN", (Tcp(flags="S", acknowledging=None),), SPLIT_HANDSHAKE)},
    ),
    Case(
        name="nmap-forged",
        shows="nmap probes hosts that lie. It takes a SYN/ACK for genuine whatever number that "
        "acknowledges; by RFC 9293 section 3.10.7.3 it is none.",
        tool=Tool.NMAP,
        command=nmap("-sS", retries=0),
        capture=ON_THE_CABLE,
        targets=("10.50.2.1", "10.50.2.2", OPEN_TCP[0]),
        protocols=TCP,
        played={
            "10.50.2.1": Played(
                "SYN/ACK that acknowledges another number", (Tcp(flags="SA", acknowledging=77),), TCP_SILENT
            ),
            "10.50.2.2": Played(
                "an ICMP error that quotes another sequence number",
                (Icmp(kind=3, code=1, sequence=77),),
                TCP_SILENT,
            ),
        },
        believed={"10.50.2.1": (State.OPEN, Reason.SYN_ACK)},
        forged=2,
    ),
    Case(
        name="zmap",
        shows="ZMap: each target from another source port, no retries, and its own notion of a reply's "
        "worth.",
        tool=Tool.ZMAP,
        command="zmap -p 401 -i gpv0 -G {gateway} -S 10.49.0.1 -b /dev/null -r 100 --cooldown-time=1 -v 2 "
        "-O csv -f saddr,classification --output-filter=repeat=0 -o zmap.csv {targets}",
        capture=ON_THE_CABLE,
        targets=(*OPEN_TCP, *CLOSED, REFUSED_BY_TARGET[0], REFUSED_BY_ROUTER[6], SILENT),
        protocols=TCP,
    ),
    Case(
        name="masscan",
        shows="masscan shares the kernel's address: after each SYN/ACK both of them tear down, and neither "
        "reset is a reply.",
        tool=Tool.MASSCAN,
        # This version does not end by itself once it has begun to wait.
        command="timeout -k 1 2 masscan --interface gpv0 --adapter-ip 10.49.0.1 --router-ip 10.49.0.2 -p401 "
        "--rate 100 --wait 1 --retries 0 {targets}",
        capture=ON_THE_CABLE,
        targets=(*OPEN_TCP, *CLOSED, REFUSED_BY_TARGET[0], REFUSED_BY_ROUTER[6], SILENT),
        protocols=TCP,
        exit_codes=(0, 124, 137),
    ),
    Case(
        name="scapy-sr",
        shows="Scapy's `sr`: every target from port 20 with sequence number 0, and again from there where "
        "no answer came.",
        tool=Tool.SCAPY,
        command="python -m tests.replay.scapy_sr {targets}",
        capture=ON_THE_CABLE,
        targets=(*OPEN_TCP, *CLOSED, REFUSED_BY_TARGET[0], REFUSED_BY_ROUTER[6], SILENT),
        protocols=TCP,
    ),
    Case(
        name="scapy-wrpcap",
        shows="What Scapy's `sr` gave, saved with its `wrpcap`: raw IP without a link header, and packets "
        "in the order of the answers, not of time.",
        tool=Tool.SCAPY,
        command="python -m tests.replay.scapy_sr --write capture.pcap {targets}",
        targets=(*OPEN_TCP, *CLOSED, REFUSED_BY_TARGET[0], REFUSED_BY_ROUTER[6], SILENT),
        protocols=TCP,
    ),
)
