"""What a capture says of ports: probes and replies as they were recorded, judged by the rules of a sweep.

Feed it decoded frames, then ask for the outcomes. Nothing is remembered but columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core import cookie
from scanner.core.addresses import AddressSet
from scanner.core.decode import ARP_REPLY, TCP, Decoded
from scanner.core.flowtable import Probes, candidate_probes, match, true_probes
from scanner.core.ledger import Ledger, Replies
from scanner.core.outcomes import Outcomes
from scanner.core.rules import Claims, Rank, Rules, reason_code
from scanner.core.transport import echoes
from scanner.model import Reason


@dataclass(frozen=True, slots=True)
class CookieKey:
    """The key of a sweep, which tells its probes from others'.

    They left from these sources, for each target `tries` times at most.
    """

    key: bytes
    sources: AddressSet
    tries: int

    def ours(self, probes: Probes) -> NDArray[np.bool_]:
        """Which probes are the sweep's own."""
        ours = self.sources.contains(probes.prober)
        for source in np.unique(probes.prober[ours]).tolist():
            for protocol in np.unique(probes.protocol).tolist():
                rows = np.flatnonzero(ours & (probes.prober == source) & (probes.protocol == protocol))
                flow = cookie.flows(self.key, source, probes.target[rows], probes.target_port[rows], protocol)
                tried = cookie.attempts(flow.offset, probes.target_port[rows], probes.prober_port[rows])
                ours[rows] = (tried >= 0) & (tried < self.tries)
                if protocol == TCP:
                    ours[rows] &= flow.sequence == probes.sequence[rows]
        return ours


class RecordedTraffic:
    """Collects what bears on some ports.

    forged: replies that name a recorded probe but not its sequence number; with a key, as in the sweep, all
        that name a target and are no answer to any of its probes. Known once `outcomes` was asked.
    """

    def __init__(self, ports: NDArray[np.bool_], key: CookieKey | None = None) -> None:
        """`ports`: `(65536,)` bool, those asked about. `key`: only this sweep's own probes count."""
        self._ports = ports
        self._key = key
        self._rules = Rules()
        self._probes: list[Probes] = []
        self._claims: list[Claims] = []
        self._present: list[NDArray[np.uint32]] = []
        self.forged = 0

    def add(self, decoded: Decoded) -> None:
        """Take in the packets of some frames."""
        probes = candidate_probes(decoded, self._ports)
        claims = self._rules.claims(decoded)
        claims = claims.take(self._ports[claims.target_port])
        if self._key is not None:
            probes = probes.take(self._key.ours(probes))
            claims = claims.take(~echoes(claims))
        if len(probes):
            self._probes.append(probes)
        if len(claims):
            self._claims.append(claims)
        replies = decoded.arp.operation == ARP_REPLY
        if replies.any():
            self._present.append(np.unique(decoded.arp.sender[replies]))

    def present(self) -> AddressSet:
        """Addresses that answered ARP."""
        return AddressSet.from_addresses(np.concatenate([np.empty(0, dtype=np.uint32), *self._present]))

    def outcomes(self) -> Outcomes:
        """What came of every port that was probed, by address, protocol and port."""
        if not self._probes:
            nothing = np.empty(0, dtype=np.uint32)
            return Outcomes.silent(
                nothing, nothing.astype(np.uint8), nothing.astype(np.uint16), Rank.UNANSWERED, 0
            )
        probes = Probes.concatenate(self._probes)
        if self._key is None:
            probes = true_probes(probes)
        targets, task = np.unique(_target_keys(probes), return_inverse=True)
        ledger = Ledger(len(targets))
        latest = np.zeros(len(targets), dtype=np.int64)
        np.maximum.at(latest, task, probes.times)
        if self._claims and len(probes):
            self._judge(probes, targets, task, ledger)
        outcomes = Outcomes.silent(
            (targets >> np.uint64(24)).astype(np.uint32),
            (targets >> np.uint64(16)).astype(np.uint8),
            targets.astype(np.uint16),
            Rank.UNANSWERED,
            reason_code(Reason.NO_RESPONSE),
        )
        outcomes.tries[:] = np.bincount(task, minlength=len(targets))
        outcomes.time[:] = latest
        outcomes.decide(np.arange(len(targets)), ledger)
        return outcomes

    def _judge(
        self, probes: Probes, targets: NDArray[np.uint64], task: NDArray[np.int64], ledger: Ledger
    ) -> None:
        claims = Claims.concatenate(self._claims)
        answered = match(probes, claims)
        named = len(answered.row)
        if self._key is not None:
            to_us = self._key.sources.contains(claims.prober)
            named = int(np.count_nonzero(to_us & np.isin(_target_keys(claims), targets)))
        self.forged = named - int(np.count_nonzero(answered.genuine))
        row, probe = answered.row[answered.genuine], answered.probe[answered.genuine]
        ledger.apply(
            Replies(
                task=task[probe],
                rank=claims.rank[row],
                reason=claims.reason[row],
                ttl=claims.ttl[row],
                responder=claims.responder[row],
                times=claims.times[row],
                rtt=np.maximum(claims.times[row] - probes.times[probe], 0),
            )
        )


def _target_keys(probes: Probes | Claims) -> NDArray[np.uint64]:
    """Address, protocol and port in one number, in the order of records."""
    address = probes.target.astype(np.uint64) << np.uint64(24)
    protocol = probes.protocol.astype(np.uint64) << np.uint64(16)
    keys: NDArray[np.uint64] = address + protocol + probes.target_port.astype(np.uint64)
    return keys
