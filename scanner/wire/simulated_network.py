"""A network in memory: hosts that answer as they are told to, and a road that loses packets.

Everything random comes from seeds, and each kind of chance has a generator of its own, so a
network meets the same probes with the same luck however they were cut into batches. Probes
to addresses where nobody is placed cost no Python per packet.

This file moves no clock: it is told when a packet left and says when the replies arrive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import ETHERTYPE_ARP, ETHERTYPE_IPV4
from scanner.model import UsageError
from scanner.wire.arp import ARP_BODY_LENGTH, REQUEST, arp_reply, parse_arp_untrusted
from scanner.wire.behaviours import Behaviour, parse_probe_untrusted
from scanner.wire.clock import NANOSECONDS

_SHORTEST_IPV4 = 20
_LAST_ADDRESS = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the road does to packets.

    probe_loss, reply_loss: the chance that a packet is lost on its way out, or back.
    duplication: the chance that a reply arrives twice. delay: the round trip in seconds.
    jitter: up to so many seconds more, evenly spread. reordering: the chance that a reply
    takes a detour of one to three further round trips (delay + jitter), so that later ones
    overtake it.
    """

    probe_loss: float = 0.0
    reply_loss: float = 0.0
    duplication: float = 0.0
    delay: float = 0.001
    jitter: float = 0.0
    reordering: float = 0.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A reply on its way in: when it arrives (ns since the epoch), what, and from which MAC."""

    moment: int
    ethertype: int
    mac: bytes
    packet: bytes


@dataclass(frozen=True, slots=True)
class _Place:
    first: int
    last: int
    behaviour: Behaviour
    answers_arp: bool


class SimulatedNetwork:
    """Address ranges and how they behave; where nobody is placed, nobody answers.

        network = SimulatedNetwork(seed=7, conditions=Conditions(probe_loss=0.05))
        network.place(0x0A000000, 0x0A0000FF, closed_port())
        network.place(0x0A000007, 0x0A000007, open_port())

    seed: of all chances.
    """

    def __init__(self, seed: int = 0, conditions: Conditions | None = None) -> None:
        """An empty network."""
        self._conditions = conditions or Conditions()
        streams = np.random.SeedSequence(seed).spawn(5)
        self._out, self._back, self._twice, self._jitter, self._detour = map(np.random.default_rng, streams)
        self._places: list[_Place] = []
        self._cuts = np.empty(0, dtype=np.int64)
        self._owners = np.empty(0, dtype=np.int64)
        self._drawn = False
        self._received: Counter[int] = Counter()

    def place(self, first: int, last: int, behaviour: Behaviour, *, answers_arp: bool = True) -> None:
        """Put hosts at the addresses `first` to `last`; over others, they take their place.

        answers_arp: whether they are up on the link; their MAC is `host_mac`. Raises UsageError
        where the range is none.
        """
        if not 0 <= first <= last <= _LAST_ADDRESS:
            raise UsageError(f"{first} to {last} is no range of IPv4 addresses")
        self._places.append(_Place(first, last, behaviour, answers_arp))
        self._drawn = False

    def received(self, address: int) -> int:
        """How many TCP, UDP or ICMP probes have reached the host at `address`."""
        return self._received[address]

    def carry(self, packets: NDArray[np.uint8], ethertype: int, moment: int) -> list[Arrival]:
        """The replies to `(N, L)` packets that left at `moment` (ns since the epoch)."""
        lost = self._out.random(len(packets)) < self._conditions.probe_loss
        if not self._places:
            return []
        if not self._drawn:
            self._draw_map()
        arrivals: list[Arrival] = []
        if ethertype == ETHERTYPE_IPV4 and packets.shape[1] >= _SHORTEST_IPV4:
            for row, place in self._reached(packets[:, 16:20], lost):
                arrivals += self._meet(packets[row].tobytes(), place, moment)
        elif ethertype == ETHERTYPE_ARP and packets.shape[1] >= ARP_BODY_LENGTH:
            for row, place in self._reached(packets[:, 24:28], lost):
                if place.answers_arp:
                    arrivals += self._answer_arp(packets[row].tobytes(), moment)
        return arrivals

    def _draw_map(self) -> None:
        """Cut the address space at the places' ends; of each interval, the last placed is owner."""
        firsts = np.array([place.first for place in self._places], dtype=np.int64)
        ends = np.array([place.last + 1 for place in self._places], dtype=np.int64)
        self._cuts = np.unique(np.concatenate((firsts, ends)))
        self._owners = np.full(len(self._cuts), -1, dtype=np.int64)
        lows, highs = np.searchsorted(self._cuts, firsts), np.searchsorted(self._cuts, ends)
        for number, (low, high) in enumerate(zip(lows.tolist(), highs.tolist(), strict=True)):
            self._owners[low:high] = number
        self._drawn = True

    def _reached(self, addresses: NDArray[np.uint8], lost: NDArray[np.bool_]) -> Iterator[tuple[int, _Place]]:
        numbers = np.ascontiguousarray(addresses).view(">u4").ravel().astype(np.int64)
        owners = self._owners[np.searchsorted(self._cuts, numbers, side="right") - 1]
        owners = np.where(numbers < self._cuts[0], -1, owners)
        for row in np.flatnonzero((owners >= 0) & ~lost).tolist():
            yield row, self._places[int(owners[row])]

    def _meet(self, packet: bytes, place: _Place, moment: int) -> Iterator[Arrival]:
        address = int.from_bytes(packet[16:20], "big")
        self._received[address] += 1
        probe = parse_probe_untrusted(packet, self._received[address])
        if probe is None:
            return
        for reply in place.behaviour(probe):
            mac = host_mac(int.from_bytes(reply.packet[12:16], "big"))
            yield from self._return(ETHERTYPE_IPV4, mac, reply.packet, moment, reply.delay)

    def _answer_arp(self, body: bytes, moment: int) -> Iterator[Arrival]:
        request = parse_arp_untrusted(body)
        if request is None or request.operation != REQUEST:
            return
        mac = host_mac(request.target)
        yield from self._return(ETHERTYPE_ARP, mac, arp_reply(request, mac).pack(), moment, 0.0)

    def _return(self, ethertype: int, mac: bytes, packet: bytes, moment: int, thought: float) -> Iterator[Arrival]:
        road = self._conditions
        copies = 2 if self._twice.random() < road.duplication else 1
        for _ in range(copies):
            wait = road.delay + road.jitter * self._jitter.random() + thought
            if self._detour.random() < road.reordering:
                wait += (1 + 2 * self._detour.random()) * (road.delay + road.jitter)
            if self._back.random() >= road.reply_loss:
                yield Arrival(moment + round(wait * NANOSECONDS), ethertype, mac, packet)


def host_mac(address: int) -> bytes:
    """The MAC of the simulated host at an address: locally administered, 02:00 and the address."""
    return b"\x02\x00" + address.to_bytes(4, "big")
