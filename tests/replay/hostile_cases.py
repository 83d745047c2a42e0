"""Replies that lie, contradict each other, or are odd. Scripts play them, as no honest stack would."""

from __future__ import annotations

from scanner.lab.behaviours import TCP_CLOSED, TCP_OPEN, TCP_SILENT, UDP_CLOSED, UDP_OPEN, UDP_SILENT, Outcome
from scanner.model import Protocol, Reason
from tests.replay.answers import Icmp, Tcp, Udp
from tests.replay.case import Case, Played, Tool
from tests.replay.commands import AT_THE_TARGETS, sweep, watched_sweep
from tests.replay.hosts import SILENT, SPLIT_HANDSHAKE, TCP, UDP, by_router

SYN_ACK, RESET, SYN = Tcp(flags="SA"), Tcp(flags="RA"), Tcp(flags="S", acknowledging=None)
DATAGRAM = Udp()
OWN_PORT_UNREACH = Icmp(kind=3, code=3, from_target=True)


def _odd_icmp(no_word: Outcome) -> dict[str, Played]:
    time_exceeded, host_unreach = by_router(Reason.TIME_EXCEEDED), by_router(Reason.HOST_UNREACH)
    return {
        "10.50.2.1": Played("fragmentation needed (3/4)", (Icmp(kind=3, code=4),), no_word),
        "10.50.2.2": Played("host unknown (3/7)", (Icmp(kind=3, code=7),), no_word),
        "10.50.2.3": Played("source quench (4/0)", (Icmp(kind=4, code=0),), no_word),
        "10.50.2.4": Played("redirect (5/1)", (Icmp(kind=5, code=1),), no_word),
        "10.50.2.5": Played("parameter problem (12/0)", (Icmp(kind=12, code=0),), no_word),
        "10.50.2.6": Played("host-unreachable, 24 bytes quoted", (Icmp(kind=3, code=1, quoted=4),), no_word),
        "10.50.2.7": Played("time-exceeded in reassembly (11/1)", (Icmp(kind=11, code=1),), time_exceeded),
        "10.50.2.8": Played(
            "host-unreachable, the quoted length byte-swapped as some stacks do",
            (Icmp(kind=3, code=1, length=0x2C00),),
            host_unreach,
        ),
    }


HOSTILE_CASES = (
    Case(
        name="forged-tcp",
        shows="Replies that name a probe by addresses and ports, but not by its sequence number, or that "
        "name none. They are kept as evidence, and change nothing.",
        tool=Tool.SWEEP,
        command=watched_sweep("--tcp --retries 0 --wait 0.5"),
        capture=AT_THE_TARGETS,
        targets=tuple(f"10.50.2.{last}" for last in range(1, 8)),
        protocols=TCP,
        played={
            "10.50.2.1": Played(
                "SYN/ACK that acknowledges another number", (Tcp(flags="SA", acknowledging=2),), TCP_SILENT
            ),
            "10.50.2.2": Played(
                "RST/ACK that acknowledges another number", (Tcp(flags="RA", acknowledging=77),), TCP_SILENT
            ),
            "10.50.2.3": Played(
                "forged SYN/ACK, then the genuine RST",
                (Tcp(flags="SA", acknowledging=-1), RESET),
                TCP_CLOSED,
            ),
            "10.50.2.4": Played(
                "genuine SYN/ACK, then a forged RST", (SYN_ACK, Tcp(flags="RA", acknowledging=5)), TCP_OPEN
            ),
            "10.50.2.5": Played(
                "SYN/ACK to a source port that was not used", (Tcp(flags="SA", to_port=-77),), TCP_SILENT
            ),
            "10.50.2.6": Played(
                "SYN/ACK from a port that was not asked", (Tcp(flags="SA", from_port=1),), TCP_SILENT
            ),
            # RFC 9293 section 3.10.7.3 wants SND.UNA < SEG.ACK, which one less than that is not.
            "10.50.2.7": Played(
                "SYN/ACK that acknowledges the SYN's own number",
                (Tcp(flags="SA", acknowledging=0),),
                TCP_SILENT,
            ),
        },
        forged=6,
    ),
    Case(
        name="forged-udp",
        shows="Datagrams that answer no probe: to a source port that was not used, from a port or an "
        "address that was not asked.",
        tool=Tool.SWEEP,
        command=watched_sweep("--udp --retries 0 --wait 0.5"),
        capture=AT_THE_TARGETS,
        targets=tuple(f"10.50.2.{last}" for last in range(1, 5)),
        protocols=UDP,
        played={
            "10.50.2.1": Played("a datagram to the wrong port", (Udp(to_port=-77),), UDP_SILENT),
            "10.50.2.2": Played("a datagram from the wrong port", (Udp(from_port=1),), UDP_SILENT),
            "10.50.2.3": Played("a datagram from another address", (Udp(sender="10.50.2.14"),), UDP_SILENT),
            "10.50.2.4": Played(
                "a datagram to the wrong port, then the genuine one", (Udp(to_port=-77), DATAGRAM), UDP_OPEN
            ),
        },
        forged=2,
    ),
    Case(
        name="forged-icmp-tcp",
        shows="ICMP errors that quote a SYN which was never sent: another sequence number, source port or "
        "destination port, or an address that was not asked. Nobody's verdict may come of them.",
        tool=Tool.SWEEP,
        command=watched_sweep("--tcp --retries 0 --wait 0.5"),
        capture=AT_THE_TARGETS,
        targets=tuple(f"10.50.2.{last}" for last in range(1, 6)),
        protocols=TCP,
        played={
            "10.50.2.1": Played(
                "quotes another sequence number", (Icmp(kind=3, code=13, sequence=1),), TCP_SILENT
            ),
            "10.50.2.2": Played(
                "quotes another source port", (Icmp(kind=3, code=1, from_port=-77),), TCP_SILENT
            ),
            "10.50.2.3": Played(
                "quotes another destination port", (Icmp(kind=3, code=1, to_port=1),), TCP_SILENT
            ),
            "10.50.2.4": Played(
                "quotes an address that was not asked",
                (Icmp(kind=3, code=1, to_address="10.50.2.14"),),
                TCP_SILENT,
            ),
            "10.50.2.5": Played(
                "quotes another sequence number, then the right one",
                (Icmp(kind=3, code=13, sequence=1), Icmp(kind=3, code=10)),
                by_router(Reason.HOST_PROHIBITED),
            ),
        },
        forged=3,
    ),
    Case(
        name="forged-icmp-udp",
        shows="ICMP errors that quote a datagram which was never sent. UDP has no sequence number: ports "
        "and addresses must do.",
        tool=Tool.SWEEP,
        command=watched_sweep("--udp --retries 0 --wait 0.5"),
        capture=AT_THE_TARGETS,
        targets=tuple(f"10.50.2.{last}" for last in range(1, 5)),
        protocols=UDP,
        played={
            "10.50.2.1": Played(
                "quotes another source port",
                (Icmp(kind=3, code=3, from_target=True, from_port=-77),),
                UDP_SILENT,
            ),
            "10.50.2.2": Played(
                "quotes another destination port",
                (Icmp(kind=3, code=3, from_target=True, to_port=1),),
                UDP_SILENT,
            ),
            "10.50.2.3": Played(
                "quotes an address that was not asked",
                (Icmp(kind=3, code=1, to_address="10.50.2.14"),),
                UDP_SILENT,
            ),
            "10.50.2.4": Played(
                "quotes another source port, then the right one",
                (Icmp(kind=3, code=1, from_port=-77), Icmp(kind=3, code=10)),
                by_router(Reason.HOST_PROHIBITED),
            ),
        },
        forged=2,
    ),
    Case(
        name="duplicates",
        shows="Every reply comes three times. The first decides: its time, its round trip.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --wait 0.3 --retries 0"),
        targets=("10.50.2.1", "10.50.2.2", "10.50.2.3", SILENT),
        protocols=TCP,
        played={
            "10.50.2.1": Played("SYN/ACK, three times", (SYN_ACK,) * 3, TCP_OPEN),
            "10.50.2.2": Played("RST, three times", (RESET,) * 3, TCP_CLOSED),
            "10.50.2.3": Played(
                "host-unreachable, three times",
                (Icmp(kind=3, code=1),) * 3,
                by_router(Reason.HOST_UNREACH),
            ),
        },
    ),
    Case(
        name="conflicts-tcp",
        shows="Replies that contradict each other. Open is never given up, closed not for filtered; among "
        "equals the first stands.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --wait 0.3 --retries 0"),
        targets=tuple(f"10.50.2.{last}" for last in (1, 2, 3, 4, 5, 6, 7, 15)),
        protocols=TCP,
        played={
            "10.50.2.1": Played("RST, then SYN/ACK", (RESET, SYN_ACK), TCP_OPEN),
            "10.50.2.2": Played("SYN/ACK, then RST", (SYN_ACK, RESET), TCP_OPEN),
            "10.50.2.3": Played("host-unreachable, then SYN/ACK", (Icmp(kind=3, code=1), SYN_ACK), TCP_OPEN),
            "10.50.2.4": Played("admin-prohibited, then RST", (Icmp(kind=3, code=13), RESET), TCP_CLOSED),
            "10.50.2.5": Played("RST, then admin-prohibited", (RESET, Icmp(kind=3, code=13)), TCP_CLOSED),
            "10.50.2.6": Played(
                "time-exceeded, then net-unreachable",
                (Icmp(kind=11, code=0), Icmp(kind=3, code=0)),
                by_router(Reason.TIME_EXCEEDED),
            ),
            "10.50.2.7": Played("a SYN, then SYN/ACK", (SYN, SYN_ACK), SPLIT_HANDSHAKE),
        },
    ),
    Case(
        name="conflicts-udp",
        shows="Replies that contradict each other, over UDP.",
        tool=Tool.SWEEP,
        command=sweep("--udp --wait 0.3 --retries 0"),
        targets=tuple(f"10.50.2.{last}" for last in (1, 2, 3, 4, 5, 15)),
        protocols=UDP,
        played={
            "10.50.2.1": Played("port-unreachable, then a datagram", (OWN_PORT_UNREACH, DATAGRAM), UDP_OPEN),
            "10.50.2.2": Played("a datagram, then port-unreachable", (DATAGRAM, OWN_PORT_UNREACH), UDP_OPEN),
            "10.50.2.3": Played(
                "host-unreachable, then a datagram", (Icmp(kind=3, code=1), DATAGRAM), UDP_OPEN
            ),
            "10.50.2.4": Played(
                "a router's port-unreachable, then the host's own",
                (Icmp(kind=3, code=3), OWN_PORT_UNREACH),
                UDP_CLOSED,
            ),
            "10.50.2.5": Played(
                "port-unreachable, then admin-prohibited",
                (OWN_PORT_UNREACH, Icmp(kind=3, code=13)),
                UDP_CLOSED,
            ),
        },
    ),
    Case(
        name="split-handshake",
        shows="Hosts that answer a SYN with a SYN of their own (RFC 9293 section 3.5, simultaneous open): "
        "open.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --wait 0.3"),
        targets=("10.50.2.1", "10.50.2.2"),
        protocols=TCP,
        played={
            "10.50.2.1": Played("a SYN", (SYN,), SPLIT_HANDSHAKE),
            "10.50.2.2": Played(
                "a SYN with ECN flags", (Tcp(flags="SEC", acknowledging=None),), SPLIT_HANDSHAKE
            ),
        },
    ),
    Case(
        name="odd-flags",
        shows="Segments with flags that say nothing of a SYN are no answer (RFC 9293 section 3.10.7.3). A "
        "reset is looked at before a SYN, and may acknowledge the SYN's own number.",
        tool=Tool.SWEEP,
        command=watched_sweep("--tcp --wait 0.3 --retries 0"),
        capture=AT_THE_TARGETS,
        targets=tuple(f"10.50.2.{last}" for last in range(1, 9)),
        protocols=TCP,
        played={
            "10.50.2.1": Played(
                "RST without ACK, though with the right number in the field", (Tcp(flags="R"),), TCP_SILENT
            ),
            "10.50.2.2": Played("ACK alone", (Tcp(flags="A"),), TCP_SILENT),
            "10.50.2.3": Played("FIN/ACK", (Tcp(flags="FA"),), TCP_SILENT),
            "10.50.2.4": Played("no flags at all", (Tcp(flags=""),), TCP_SILENT),
            "10.50.2.5": Played("SYN/RST/ACK", (Tcp(flags="SRA"),), TCP_CLOSED),
            "10.50.2.6": Played("SYN/FIN/PSH/URG/ACK", (Tcp(flags="SFPUA"),), TCP_OPEN),
            "10.50.2.7": Played(
                "RST/ACK that acknowledges the SYN's own number",
                (Tcp(flags="RA", acknowledging=0),),
                TCP_CLOSED,
            ),
            "10.50.2.8": Played("SYN/RST without ACK", (Tcp(flags="SR", acknowledging=None),), TCP_SILENT),
        },
    ),
    *(
        Case(
            name=f"odd-icmp-{protocol}",
            shows="ICMP that decides nothing: types and codes that speak of something else, quotes too "
            "short to name a probe. And two errors that decide though they look odd.",
            tool=Tool.SWEEP,
            command=watched_sweep(f"--{protocol} --wait 0.3 --retries 0"),
            capture=AT_THE_TARGETS,
            targets=tuple(f"10.50.2.{last}" for last in range(1, 9)),
            protocols=(protocol,),
            played=_odd_icmp(no_word),
        )
        for protocol, no_word in ((Protocol.TCP, TCP_SILENT), (Protocol.UDP, UDP_SILENT))
    ),
)
