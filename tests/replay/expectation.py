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
from scanner.model import Protocol, Reason, State, UsageError
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
    is_loopback: bool = ip_address(address).is_loopback
    if address in case.played:
        outcome = case.played[address].outcome
    elif address in case.listens_late:
        outcome = TCP_OPEN if protocol is Protocol.TCP else UDP_OPEN
    elif is_loopback and not _is_known(plan, address):
        opened, closed = (TCP_OPEN, TCP_CLOSED) if protocol is Protocol.TCP else (UDP_OPEN, UDP_CLOSED)
        outcome = opened if address in case.listening else closed
    elif outcome is None and address in hosts:
        outcome = hosts[address].outcome(protocol)
    if outcome is None:
        said = plan.expected(address, protocol, port)
        role = Responder.TARGET if said.responder == address else Responder.ROUTER
        outcome = Outcome(said.state, said.reason, None if said.responder is None else role)
        if case.scene is None:
            return outcome, said.responder
    responder = {Responder.TARGET: address, Responder.ROUTER: case.router, None: None}[outcome.responder]
    return outcome, responder


def expected_records(case: Case, plan: Plan, seen: Seen) -> list[Record]:
    """The records that reading the capture must give. Raises Refused where it contradicts the truth."""
    found = verdicts(seen, case.ports)
    asked = {(without_zone(address), *rest) for address, *rest in targets(case)}
    if strange := [target for target in found if target not in asked]:
        raise Refused(f"{_named(strange[0])}: was probed, though nobody asked")
    records: list[Record] = []
    for target in targets(case):
        outcome, responder = truth(case, plan, target)
        record = _zoned(found.get((without_zone(address := target[0]), *target[1:])), address)
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
    note = OPEN_INFERRED if record["ip"] in case.inferred else None
    if record["ip"] in case.contested:
        note = ADDRESS_CONFLICT
    found = {key: record.get(key) for key in ("state", "reason", "responder", "note")}
    stated = {"state": state, "reason": reason, "responder": responder, "note": note}
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


def other_hardware(case: Case, plan: Plan, records: Sequence[Record]) -> list[str]:
    """Where a hardware address is not that of the lab's host."""
    wrong = []
    for record in records:
        address = str(record["ip"])
        if record["mac"] is None or case.scene is not None or not _is_known(plan, address):
            continue
        macs = plan.expected(address, Protocol(str(record["proto"])), case.ports[0]).macs
        if record["mac"] not in macs:
            wrong.append(f"{address}: its hardware is {record['mac']}, and {' or '.join(macs)} in truth")
    return wrong


def without_zone(address: str) -> str:
    """An address as it is in a packet."""
    return address.partition("%")[0]


def _zoned(record: Record | None, address: str) -> Record | None:
    """A record of a link-local target as it is told where its interface is known."""
    if record is None or record["ip"] == address:
        return record
    responder = address if record["responder"] == record["ip"] else record["responder"]
    return {**record, "ip": address, "responder": responder}


def _is_known(plan: Plan, address: str) -> bool:
    try:
        plan.behaviour(address)
    except UsageError:
        return False
    return True


def as_lines(records: Sequence[Record]) -> str:
    """Records as `ghostport read --format jsonl` prints them."""
    return "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)


def _named(target: Target) -> str:
    return f"{target[0]} {target[1]}/{target[2]}"
