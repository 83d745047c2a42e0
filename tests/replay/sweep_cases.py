"""What hosts and routers say to our own sweep, with the plan that it leaves beside its evidence."""

from __future__ import annotations

from scanner.lab.behaviours import TCP_CLOSED, TCP_OPEN, Outcome
from scanner.model import Reason, State
from tests.replay.answers import Pause, Tcp
from tests.replay.case import Case, Played, Tool
from tests.replay.commands import sweep
from tests.replay.hosts import (
    BOTH,
    CLOSED,
    EXPIRED,
    NO_ROUTE,
    OPEN_TCP,
    OPEN_UDP,
    REFUSED_BY_ROUTER,
    REFUSED_BY_TARGET,
    RESET_BY_FIREWALL,
    ROUTED_NOWHERE,
    SILENT,
    SILENT_ROUTER,
    TCP,
    UDP,
    UDP_SILENT,
)

SWEEP_CASES = (
    Case(
        name="open-tcp",
        shows="Hosts that listen answer a SYN with SYN/ACK.",
        tool=Tool.SWEEP,
        command=sweep("--tcp"),
        targets=OPEN_TCP,
        protocols=TCP,
    ),
    Case(
        name="open-udp",
        shows="Services that answer any datagram, even an empty one.",
        tool=Tool.SWEEP,
        command=sweep("--udp"),
        targets=OPEN_UDP,
        protocols=UDP,
    ),
    Case(
        name="closed-tcp",
        shows="Resets: two of a kernel on whose port nobody listens, one of a firewall.",
        tool=Tool.SWEEP,
        command=sweep("--tcp"),
        targets=(*CLOSED, RESET_BY_FIREWALL),
        protocols=TCP,
    ),
    Case(
        name="closed-udp",
        shows="ICMP port-unreachable, sent by the probed address itself: nobody listens.",
        tool=Tool.SWEEP,
        command=sweep("--udp"),
        targets=(*CLOSED, RESET_BY_FIREWALL),
        protocols=UDP,
    ),
    Case(
        name="refused-tcp",
        shows="SYN probes refused by ICMP type 3, codes 0, 1, 2, 3, 9, 10 and 13: by the host's own "
        "firewall, by one on the way, and (codes 1, 13, 0) by a router's table. The responder tells "
        "whom to ask.",
        tool=Tool.SWEEP,
        command=sweep("--tcp"),
        targets=(*REFUSED_BY_TARGET, *REFUSED_BY_ROUTER, *ROUTED_NOWHERE),
        protocols=TCP,
    ),
    Case(
        name="refused-udp",
        shows="Datagrams refused by ICMP type 3, codes 0, 1, 2, 3, 9, 10 and 13, by hosts and by a router. "
        "Code 3 means closed where the host itself says so, and filtered where a router does.",
        tool=Tool.SWEEP,
        command=sweep("--udp"),
        targets=(*REFUSED_BY_TARGET, *REFUSED_BY_ROUTER, *ROUTED_NOWHERE),
        protocols=UDP,
    ),
    Case(
        name="time-exceeded",
        shows="Probes that died on the way: ICMP type 11 code 0 from a router.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --udp"),
        targets=EXPIRED,
        protocols=BOTH,
    ),
    Case(
        name="silent",
        shows="Nothing comes back, however often it is asked: filtered for TCP, open|filtered for UDP. One "
        "host drops all, one drops UDP alone, one is behind a router that drops.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --udp --retries 1 --wait 0.3"),
        targets=(SILENT, UDP_SILENT, SILENT_ROUTER),
        protocols=BOTH,
    ),
    Case(
        name="lost-first-tries",
        shows="Probes are lost on the way and asked again, from the next source port: the first of each, "
        "for 10.50.0.10 the second too. `tries` counts them, and the round trip is that of the one "
        "answered.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --udp --retries 3 --wait 0.3"),
        targets=(OPEN_UDP[0], OPEN_TCP[0], CLOSED[0]),
        protocols=BOTH,
        firewall=tuple(
            f"ip daddr {address} meta l4proto {protocol} numgen inc mod 4 < {lost} drop"
            for protocol in ("tcp", "udp")
            for address, lost in ((OPEN_TCP[0], 1), (OPEN_UDP[0], 1), (CLOSED[0], 2))
        ),
    ),
    Case(
        name="late-reply",
        shows="The answer to the first try comes after the second has left. Its source port tells which try "
        "it answers, so the round trip is 0.3 s and not 0.1 s.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --wait 0.2"),
        targets=("10.50.2.1", "10.50.2.2"),
        protocols=TCP,
        played={
            "10.50.2.1": Played("SYN/ACK after 0.3 s", (Pause(0.3), Tcp(flags="SA")), TCP_OPEN),
            "10.50.2.2": Played("RST after 0.3 s", (Pause(0.3), Tcp(flags="RA")), TCP_CLOSED),
        },
    ),
    Case(
        name="several-ports",
        shows="Two ports of both transports; records are by address, protocol and port.",
        tool=Tool.SWEEP,
        command=sweep("-p 401,3493"),
        targets=(OPEN_UDP[0], OPEN_TCP[0], RESET_BY_FIREWALL),
        protocols=BOTH,
        ports=(401, 3493),
    ),
    Case(
        name="absent-hosts",
        shows="On the prober's own link, each host is first asked for its hardware address. Who does not "
        "answer is down and never probed: the plan beside the capture knows of them, the capture does "
        "not.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --udp --retries 1 --wait 0.2"),
        targets=("10.49.0.2", "10.49.0.8", "10.49.0.9", "10.49.0.10", "10.49.0.11", "10.49.0.99"),
        protocols=BOTH,
    ),
    Case(
        name="no-route",
        shows="No route leads to 10.60.0.1, so nothing was sent to it, and the plan says so.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --udp"),
        targets=(OPEN_TCP[0], NO_ROUTE),
        protocols=BOTH,
        elsewhere={NO_ROUTE: Outcome(State.DOWN, Reason.NO_ROUTE)},
    ),
    Case(
        name="cut-short",
        shows="A sweep that was interrupted: who had answered has a verdict, and the silent have none, as "
        "silence proves nothing before the last try was waited for.",
        tool=Tool.SWEEP,
        command="timeout --preserve-status -s INT 2 " + sweep("--tcp --retries 9 --wait 1"),
        targets=(OPEN_TCP[0], CLOSED[0], SILENT, SILENT_ROUTER),
        protocols=TCP,
        unfinished=2,
        exit_codes=(4,),
    ),
    Case(
        name="loopback",
        shows="The prober's own addresses, by raw IP: the capture has no link header.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --udp"),
        targets=("127.0.0.1", "127.0.0.2"),
        protocols=BOTH,
        listening=("127.0.0.1",),
    ),
    Case(
        name="loopback-high-port",
        shows="The prober's own addresses again, on a port among those that probes usually leave from: they "
        "leave from lower ones, so that no probe passes for an answer to another.",
        tool=Tool.SWEEP,
        command=sweep("--tcp --udp -p 50401,60401"),
        targets=("127.0.0.1", "127.0.0.2"),
        protocols=BOTH,
        ports=(50_401, 60_401),
        listening=("127.0.0.1",),
    ),
)
