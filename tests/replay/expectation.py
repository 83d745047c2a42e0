"""What a replay must give: the oracle's records, which the truth of the lab or of a script must bear out.

The law: a state, a reason and a responder are stated before anything was recorded, and neither they nor the
facts that only the capture knows ever come from the reader that is tested.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import ip_address

from scanner.lab import Plan
from scanner.lab.behaviours import TCP_CLOSED, TCP_OPEN, UDP_CLOSED, UDP_OPEN, Outcome, Responder
from scanner.model import Protocol, Reason, State
from tests.replay.case import Case
from tests.replay.frames import Seen
from tests.replay.oracle import ADDRESS_CONFLICT, NOTHING_INBOUND, OPEN_INFERRED, Record, Target, verdicts
from tests.replay.refused import Refused


def targets(case: Case) -> list[Target]:
    """All that is asked, in the order of records."""
    return [
        (address, protocol, port)
        for address in sorted(case.targets, key=lambda text: (ip_address(text).version, ip_address(text)))
        for protocol in case.protocols
        for port in case.ports
    ]


def truth(case: Case, plan: Plan, target: Target) -> tuple[Outcome, str | None]:
    """The outcome of a target, and the address that sends the deciding reply."""
    address, protocol, port = target
    hosts = {} if case.scene is None else {host.address: host for host in case.scene.hosts}
    outcome = case.elsewhere.get(address)
    if address in case.played:
        outcome = case.played[address].outcome
    elif address in case.listens_late:
        outcome = TCP_OPEN if protocol is Protocol.TCP else UDP_OPEN
    elif ip_address(address).is_loopback:
        opened, closed = (TCP_OPEN, TCP_CLOSED) if protocol is Protocol.TCP else (UDP_OPEN, UDP_CLOSED)
        outcome = opened if address in case.listening else closed
    elif outcome is None and address in hosts:
        outcome = hosts[address].outcome(protocol)
    if outcome is None:
        said = plan.expected(address, protocol, port)
        role = Responder.TARGET if said.responder == address else Responder.ROUTER
        outcome = Outcome(said.state, said.reason, None if said.responder is None else role)
    responder = {Responder.TARGET: address, Responder.ROUTER: case.router, None: None}[outcome.responder]
    return outcome, responder


def expected_records(case: Case, plan: Plan, seen: Seen) -> list[Record]:
    """The records that reading the capture must give. Raises Refused where it contradicts the truth."""
    found = verdicts(seen, case.ports)
    if strange := [target for target in found if target not in targets(case)]:
        raise Refused(f"{_named(strange[0])}: was probed, though nobody asked")
    records: list[Record] = []
    for target in targets(case):
        outcome, responder = truth(case, plan, target)
        record = found.get(target)
        if outcome.state is State.DOWN:
            if record is not None:
                raise Refused(f"{_named(target)}: is down, but was probed")
            if case.has_plan:
                records.append(_never_probed(target, outcome))
            continue
        if record is None:
            if not case.partial:
                raise Refused(f"{_named(target)}: it was never probed")
            continue
        if case.unfinished and responder is None:
            continue
        if case.has_plan:
            # Its own evidence is complete, whatever it seems.
            note = record["note"] if record["note"] == ADDRESS_CONFLICT else None
            record = {**record, "note": note, "hint": None}
        if wrong := objections(case, record, outcome, responder):
            raise Refused(f"{_named(target)}: {wrong[0]}")
        records.append(record)
    return records


def objections(case: Case, record: Record, outcome: Outcome, responder: str | None) -> list[str]:
    """Where what a capture says of a target is not the truth, or more or less than the case says."""
    silent = record["reason"] == Reason.NO_RESPONSE.value
    if silent and case.partial:
        state, reason, responder = record["state"], Reason.NO_RESPONSE.value, None
    else:
        state, reason = outcome.state.value, outcome.reason.value
    inferred = OPEN_INFERRED if record["ip"] in case.inferred else None
    found = {key: record.get(key) for key in ("state", "reason", "responder", "note")}
    stated = {"state": state, "reason": reason, "responder": responder, "note": inferred}
    wrong = [
        f"{key} is {found[key]!r} in the capture, and {stated[key]!r} in truth"
        for key in found
        if found[key] != stated[key]
    ]
    if case.one_way != (record.get("hint") == NOTHING_INBOUND) and not case.has_plan:
        wrong.append(f"the hint is {record.get('hint')!r}")
    return wrong


def _never_probed(target: Target, outcome: Outcome) -> Record:
    address, protocol, port = target
    absent = dict.fromkeys(("ttl", "rtt_ms", "responder", "tries", "time"))
    rest = {**absent, "tries": 0, "service": None, "note": None, "hint": None, "superseded": None}
    rest |= {"mac": None, "oui": None}
    said = {"state": outcome.state.value, "reason": outcome.reason.value}
    return {"ip": address, "proto": protocol.value, "port": port, **said, **rest}


def as_lines(records: Sequence[Record]) -> str:
    """Records as `ghostport read --format jsonl` prints them."""
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)


def _named(target: Target) -> str:
    return f"{target[0]} {target[1]}/{target[2]}"
