"""What a replay must give: the lab's truth, or the script's, and what Wireshark saw beside it.

The law: a state, a reason and a responder are stated before anything was recorded, and never
come from the reader that is tested; neither do times, which tshark takes from the frames.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

from scanner.lab import Plan
from scanner.lab.behaviours import TCP_CLOSED, TCP_OPEN, UDP_CLOSED, UDP_OPEN, Outcome, Responder
from scanner.lab.topology import ROUTER
from scanner.model import Protocol, State
from tests.replay.case import Case
from tests.replay.frames import Frame, sighting

Record = dict[str, object]
Target = tuple[str, Protocol, int]


class Refused(Exception):
    """What was recorded contradicts what should have been: nothing is kept of it."""


def targets(case: Case) -> list[Target]:
    """All that is asked, in the order of records."""
    return [
        (address, protocol, port)
        for address in sorted(case.targets, key=IPv4Address)
        for protocol in case.protocols
        for port in case.ports
    ]


def truth(case: Case, plan: Plan, target: Target) -> tuple[Outcome, str | None]:
    """The outcome of a target, and the address that sends the deciding reply."""
    address, protocol, port = target
    outcome = case.elsewhere.get(address)
    if address in case.played:
        outcome = case.played[address].outcome
    elif IPv4Address(address).is_loopback:
        opened, closed = (TCP_OPEN, TCP_CLOSED) if protocol is Protocol.TCP else (UDP_OPEN, UDP_CLOSED)
        outcome = opened if address in case.listening else closed
    if outcome is None:
        said = plan.expected(address, protocol, port)
        role = None if said.responder is None else Responder.TARGET
        return Outcome(said.state, said.reason, role), said.responder
    responder = {Responder.TARGET: address, Responder.ROUTER: str(ROUTER), None: None}[outcome.responder]
    return outcome, responder


def expected_records(case: Case, plan: Plan, frames: Sequence[Frame]) -> list[Record]:
    """The records that reading the capture must give. Raises Refused where no frame bears one out."""
    records: list[Record] = []
    for target in targets(case):
        address, protocol, port = target
        outcome, responder = truth(case, plan, target)
        if outcome.state is State.DOWN and not case.has_plan:
            continue
        if case.unfinished and responder is None:
            continue
        try:
            seen = sighting(frames, *target, outcome.reason, responder)
        except LookupError as error:
            raise Refused(f"{address} {protocol}/{port}: {error}") from None
        if outcome.state is State.DOWN and seen.tries:
            raise Refused(f"{address} {protocol}/{port}: is down, but was probed")
        records.append(
            {
                "ip": address,
                "proto": protocol.value,
                "port": port,
                "state": outcome.state.value,
                "reason": outcome.reason.value,
                "ttl": seen.ttl,
                "rtt_ms": None if seen.rtt is None else seen.rtt // 1000 / 1000,
                "responder": seen.responder,
                "tries": seen.tries,
                "time": None if seen.time is None else _iso(seen.time),
                "service": None,
            }
        )
    return records


def as_lines(records: Sequence[Record]) -> str:
    """Records as `ghostport read --format jsonl` prints them."""
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)


def _iso(nanoseconds: int) -> str:
    """UTC, to the microsecond, cut off and not rounded."""
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=nanoseconds // 1000)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
