"""What is compared with what: declared values.

In a command, words in braces are filled in by `place`: {ghostport} {python} {bench} {out} {evidence}
{traffic} {interface} {own_mac} {router_mac} {open_host}.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from scanner.model import Protocol
from tests.bench.labs import LINK_NET, SILENT_NET, WIDE_NET
from tests.bench.outputs import (
    Reader,
    ghostport_open,
    ghostport_ports,
    ghostport_records,
    masscan_discoveries,
    nmap_greppable,
    nmap_ports,
    open_addresses,
)

MIXED = "10.50.0.0/16"
PORTS = 1000
MILLION = 16 * 65_536


class Figure(enum.StrEnum):
    """What is compared."""

    PROCESS = "seconds of the whole process"
    SENDING = "seconds while packets leave, by the interface's counter"
    TOLD = "seconds of the work alone, by the program's own clock"


class About(enum.StrEnum):
    """What verdicts are about."""

    NETWORK = "the addresses of a lab's network"
    PORTS = "ports of one host"


@dataclass(frozen=True, slots=True)
class Contender:
    """A tool and how it is run.

    reads: how its output is understood; None where it gives no verdicts.
    most_runs: fewer than the others make, where it is slow. deadline: seconds, after which it is killed.
    """

    name: str
    command: str
    reads: Reader | None = None
    most_runs: int | None = None
    deadline: float = 120.0


@dataclass(frozen=True, slots=True)
class Case:
    """Tools at one task. The first is ours, and the others' times are held against its.

    place: the lab. about, protocol, targets: what the verdicts say; `{open_host}` is one address.
    repeat: how often as many runs as asked for; for what takes no time.
    isolated: in the prober's namespace, where packets that leave are counted. prepare: run once before.
    unasked: whether it is run where no case is named.
    packets: how many the task is about, for packets a second; "evidence": as many as are in it.
    """

    name: str
    title: str
    contenders: tuple[Contender, ...]
    place: str = "full"
    about: About = About.NETWORK
    protocol: Protocol = Protocol.TCP
    targets: str = MIXED
    figure: Figure = Figure.PROCESS
    packets: int | str | None = None
    repeat: int = 1
    isolated: bool = True
    prepare: str | None = None
    unasked: bool = True


_TCP = "{ghostport} sweep 10.50.0.0/16 --tcp --rate max -q -o {out}"
_UDP = "{ghostport} sweep 10.50.0.0/16 --udp --rate max -q -o {out}"
_ZMAP_TO = "-b /dev/null -r 10000000 -c 2 -p 401 -i {interface} -G {router_mac} -q -v 1 -o {out}"
_ZMAP = f"zmap 10.50.0.0/16 {_ZMAP_TO}"
_NMAP_AS = "nmap -n -Pn -p401 --min-rate 100000 -T5 --max-retries 1 -oG {out}"
_NMAP = f"{_NMAP_AS} 10.50.0.0/16"
# What it found shall be known even when it does not end, hence stdbuf.
_MASSCAN = (
    "stdbuf -oL masscan 10.50.0.0/16 -p401 --rate 10000000 --wait 2 -e {interface} --router-mac {router_mac}"
)
# As many SYNs, to the same addresses and ports, from one core as well.
_TRAFGEN = (
    f"trafgen --dev {{interface}} --num {MILLION} --cpus 1 --no-sock-mem --notouch-irq --no-cpu-stats "
    "'{{ eth(da={router_mac}, sa={own_mac}), "
    "ipv4(saddr=10.49.0.1, daddr=10.50.0.0, daddr[2:2]=dinc(0, 65535), ttl=64), "
    "tcp(sport=40000, dport=401, dport=dinc(401, 416), syn, seq=1, win=1024) }}'"
)
_FIELDS = "frame.time_epoch ip.src ip.dst tcp.srcport tcp.dstport tcp.flags ip.ttl icmp.type icmp.code"

CASES = (
    Case(
        "tcp",
        "TCP SYN to a mixed /16",
        (
            Contender("ghostport", _TCP, ghostport_records),
            Contender("zmap", _ZMAP, open_addresses),
            Contender("nmap", f"{_NMAP} -sS", nmap_greppable),
            Contender("masscan", _MASSCAN, masscan_discoveries, deadline=8.0),
        ),
    ),
    Case(
        "udp",
        "UDP to a mixed /16, 1 024 hosts silent",
        (
            Contender("ghostport", _UDP, ghostport_records),
            Contender("zmap", f"{_ZMAP} -M udp", open_addresses),
            Contender("nmap", f"{_NMAP} -sU", nmap_greppable, most_runs=3),
        ),
        protocol=Protocol.UDP,
    ),
    Case(
        "tcp-silent",
        "TCP SYN to a silent /16",
        (
            Contender(
                "ghostport",
                f"{{ghostport}} sweep {SILENT_NET} --tcp --rate max -q -o {{out}}",
                ghostport_records,
            ),
            Contender("zmap", f"zmap {SILENT_NET} {_ZMAP_TO}", open_addresses),
            Contender("nmap", f"{_NMAP_AS} {SILENT_NET} -sS", nmap_greppable, most_runs=1),
        ),
        place="silent",
        targets=SILENT_NET,
    ),
    Case(
        "udp-silent",
        "UDP to a silent /16",
        (
            Contender(
                "ghostport",
                f"{{ghostport}} sweep {SILENT_NET} --udp --rate max -q -o {{out}}",
                ghostport_records,
            ),
            Contender("zmap", f"zmap {SILENT_NET} {_ZMAP_TO} -M udp", open_addresses),
        ),
        place="silent",
        protocol=Protocol.UDP,
        targets=SILENT_NET,
    ),
    Case(
        "million",
        "TCP SYN to a million addresses",
        (
            Contender(
                "ghostport",
                f"{{ghostport}} sweep {WIDE_NET} --tcp --rate max -q -o {{out}}",
                ghostport_records,
            ),
            Contender("zmap", f"zmap {WIDE_NET} {_ZMAP_TO}", open_addresses),
        ),
        place="wide",
        targets=WIDE_NET,
    ),
    Case(
        "memory",
        "16.7 million addresses, nobody there, no network: our own cost",
        (Contender("ghostport, as a library", "{python} {bench}/sink.py 10.0.0.0/8"),),
        packets=1 << 24,
        isolated=False,
    ),
    Case(
        "ports",
        f"{PORTS} ports of one host",
        (
            Contender(
                "ghostport",
                f"{{ghostport}} sweep {{open_host}} --tcp -p 1-{PORTS} --rate max -q -o {{out}}",
                ghostport_ports,
            ),
            Contender(
                "nmap",
                f"nmap -n -Pn -sS -p1-{PORTS} --min-rate 100000 -T5 -oX {{out}} {{open_host}}",
                nmap_ports,
            ),
        ),
        about=About.PORTS,
        targets="{open_host}",
        repeat=2,
    ),
    Case(
        "records",
        "a million verdicts as JSON lines",
        (
            Contender("ghostport", "{python} {bench}/records.py columns 1000000 {out}"),
            Contender("msgspec, from objects", "{python} {bench}/records.py objects 1000000 {out}"),
            Contender(
                "json.dumps, from objects", "{python} {bench}/records.py json 1000000 {out}", most_runs=2
            ),
        ),
        figure=Figure.TOLD,
        packets=1_000_000,
        isolated=False,
    ),
    Case(
        "evidence",
        "TCP SYN to a mixed /16, every packet recorded",
        (
            Contender("ghostport", _TCP, ghostport_records),
            Contender("ghostport --evidence", f"{_TCP} --evidence {{out}}.pcap", ghostport_records),
        ),
    ),
    Case(
        "host",
        "one host, TCP",
        (
            Contender("ghostport", "{ghostport} sweep {open_host} --tcp -q -o {out}", ghostport_records),
            Contender("nmap", "nmap -n -Pn -sS -p401 -oG {out} {open_host}", nmap_greppable),
        ),
        targets="{open_host}",
        repeat=2,
    ),
    Case(
        "sending",
        "a million SYNs, 16 ports of a mixed /16",
        (
            Contender(
                "ghostport",
                f"{_TCP} -p 401-416 --retries 0 --show open",
                ghostport_open,
            ),
            Contender("trafgen", _TRAFGEN),
            Contender(
                "trafgen, and somebody listens", f"{{python}} {{bench}}/listening.py {{interface}} {_TRAFGEN}"
            ),
        ),
        figure=Figure.SENDING,
        packets=MILLION,
    ),
    Case(
        "scapy",
        "TCP SYN to a mixed /20",
        (
            Contender(
                "ghostport",
                "{ghostport} sweep 10.50.192.0/20 --tcp --rate max -q -o {out}",
                ghostport_records,
            ),
            Contender("scapy sr()", "{python} {bench}/scapy_sr.py 10.50.192.0/20 {out}", open_addresses),
        ),
        targets="10.50.192.0/20",
    ),
    # Last of those in a lab: the kernel's neighbour table, which all namespaces share, is full after it.
    Case(
        "link",
        "TCP SYN to a /16 on the prober's own link, 30 000 hosts there",
        (
            Contender(
                "ghostport",
                f"{{ghostport}} sweep {LINK_NET} --tcp --rate max -q -o {{out}}",
                ghostport_records,
            ),
            Contender(
                "nmap",
                f"nmap -n -p401 --min-rate 100000 -T5 --max-retries 1 -oG {{out}} {LINK_NET}",
                most_runs=1,
                deadline=60.0,
            ),
        ),
        place="link",
        targets=LINK_NET,
    ),
    Case(
        "start",
        "start",
        (
            Contender("ghostport --help", "{ghostport} --help"),
            Contender("python -c pass", "{python} -c pass"),
        ),
        repeat=4,
        isolated=False,
    ),
    Case(
        "reading",
        "reading a sweep's evidence back",
        (
            Contender("ghostport", "{ghostport} read {evidence} -q -o {out}", ghostport_records),
            Contender(
                "tshark -T fields",
                "tshark -n -r {evidence} -T fields " + " ".join(f"-e {field}" for field in _FIELDS.split()),
            ),
            Contender("scapy PcapReader", "{python} {bench}/scapy_read.py {evidence}", most_runs=2),
        ),
        packets="evidence",
        isolated=False,
        prepare=f"{_TCP} --evidence {{evidence}}",
    ),
    Case(
        "mixed",
        "a capture of 500 MB, of which a tenth touches port 401",
        (
            Contender("ghostport", "{ghostport} read {traffic} -q -o {out}"),
            Contender("tcpdump -w", "tcpdump -r {traffic} -w {out} -Z root 'port 401'"),
            Contender(
                "scapy PcapReader", "{python} {bench}/scapy_read.py {traffic}", most_runs=1, deadline=60.0
            ),
        ),
        packets="traffic",
        isolated=False,
        prepare="{python} {bench}/traffic.py mixed {traffic} 500000000",
    ),
    Case(
        "large",
        "a capture of 4 GB, of which a tenth touches port 401",
        (
            Contender("ghostport", "{ghostport} read {traffic} -q -o {out}"),
            Contender("tcpdump -w", "tcpdump -r {traffic} -w {out} -Z root 'port 401'"),
        ),
        packets="traffic",
        isolated=False,
        prepare="{python} {bench}/traffic.py mixed {traffic} 4000000000",
        unasked=False,
    ),
    Case(
        "recorded",
        "a capture of a sweep of a million addresses",
        (
            Contender("ghostport", "{ghostport} read {traffic}"),
            Contender("ghostport, all records", "{ghostport} read {traffic} -q -o {out}"),
            Contender("tcpdump -w", "tcpdump -r {traffic} -w {out} -Z root 'port 401'"),
        ),
        packets="traffic",
        isolated=False,
        prepare="{python} {bench}/traffic.py sweep {traffic} 1000000",
    ),
)
