"""The conversations of one transport: packets in, records kept, rows out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.core.columns import Columns
from scanner.core.conversation_groups import Groups, count_in, group
from scanner.core.conversation_packets import Lot
from scanner.core.conversation_split import cut
from scanner.core.conversation_states import clients, states
from scanner.core.conversation_streams import Payloads, Streams
from scanner.core.conversation_table import ANCHORED, LEFT_OUT, UNKNOWN, ConversationTable, Room, blank


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Rows(Columns):
    """Conversations, one element each.

    tcp: bool, else UDP. client, server: uint32. client_port, server_port, tunnel: int64. start, end: int64
    ns. state: int64, codes. packets, sizes: `(N, 2)` int64, from the client and from the server.
    text_out, text_in: `(N, FIRST_BYTES)` uint8, of which length_out, length_in, int64, count.
    """

    tcp: NDArray[np.bool_]
    client: NDArray[np.uint32]
    server: NDArray[np.uint32]
    client_port: NDArray[np.int64]
    server_port: NDArray[np.int64]
    tunnel: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    state: NDArray[np.int64]
    packets: NDArray[np.int64]
    sizes: NDArray[np.int64]
    text_out: NDArray[np.uint8]
    length_out: NDArray[np.int64]
    text_in: NDArray[np.uint8]
    length_in: NDArray[np.int64]


class ConversationBook:
    """The conversations of one transport.

    left_out: packets of those for which there was no room. unheard: sides that said something, of which
    there was no room to keep it.
    """

    def __init__(self, room: Room, streams: Room, *, tcp: bool) -> None:
        """`room`: for conversations. `streams`: for what their sides say. `tcp`: `add` is given segments."""
        self.left_out = 0
        self.unheard = 0
        self._tcp = tcp
        self._table = ConversationTable(room)
        self._streams = Streams(streams, tcp=tcp)

    def __len__(self) -> int:
        return self._table.count

    @property
    def starts(self) -> NDArray[np.int64]:
        """The start time of each."""
        starts: NDArray[np.int64] = self._table.records["start"][: self._table.count]
        return starts

    def add(self, lot: Lot, buffer: NDArray[np.uint8]) -> None:
        """Take in packets."""
        if not len(lot):
            return
        starts = lot.flow_starts()
        head = np.flatnonzero(starts)
        one, two = lot.one[head], lot.two[head]
        latest = self._table.latest(one, two)
        known = latest >= 0
        tail = blank(one, two)
        tail[known] = self._table.records[latest[known]]
        runs = cut(lot, starts, tail, known, tcp=self._tcp)
        groups = group(lot, runs)
        place = self._places(lot, groups, latest)
        met = (latest != UNKNOWN) | (place[groups.head] != LEFT_OUT)
        self._table.remember(one[met], two[met], place[groups.last[met]])
        records = tail[groups.flow]
        fresh = groups.flow[~groups.goes_on]
        records[~groups.goes_on] = blank(one[fresh], two[fresh])
        count_in(records, lot, groups, runs)
        kept = place != LEFT_OUT
        self.left_out += int(groups.count[~kept].sum())
        self._read(records, lot, groups, kept, buffer)
        self._table.records[place[kept]] = records[kept]

    def states(self, begin: int, end: int, ports: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The codes of the states of some."""
        records = self._table.records[begin:end]
        return states(records, clients(records, ports, tcp=self._tcp), tcp=self._tcp)

    def rows(self, place: NDArray[np.int64], ports: NDArray[np.bool_]) -> Rows:
        """Some, by their places."""
        records = self._table.records[place]
        row = np.arange(len(place))
        client = clients(records, ports, tcp=self._tcp)
        sides = np.stack([client, 1 - client], axis=1)
        one, two = records["one"], records["two"]
        address = np.stack([one >> np.uint64(32), one & np.uint64(0xFFFF_FFFF)], axis=1).astype(np.uint32)
        port = np.stack([two >> np.uint64(48), two >> np.uint64(32) & np.uint64(0xFFFF)], axis=1)
        port = port.astype(np.int64)
        stream = np.take_along_axis(records["stream"], sides, axis=1).astype(np.int64)
        anchored = (records["known"][:, None] & (ANCHORED << sides)) != 0
        (text_out, length_out), (text_in, length_in) = (
            self._streams.first_bytes(stream[:, column]) for column in (0, 1)
        )
        return Rows(
            tcp=np.full(len(place), self._tcp),
            client=address[row, client],
            server=address[row, 1 - client],
            client_port=port[row, client],
            server_port=port[row, 1 - client],
            tunnel=(two & np.uint64(0xFFFF_FFFF)).astype(np.int64),
            start=records["start"],
            end=records["end"],
            state=states(records, client, tcp=self._tcp),
            packets=np.take_along_axis(records["packets"], sides, axis=1).astype(np.int64),
            sizes=self._streams.sizes(
                stream.ravel(), anchored.ravel(), np.take_along_axis(records["total"], sides, axis=1).ravel()
            ).reshape(-1, 2),
            text_out=text_out,
            length_out=length_out,
            text_in=text_in,
            length_in=length_in,
        )

    def _places(self, lot: Lot, groups: Groups, latest: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where each group belongs; new conversations get their places in the order in which they began."""
        latest = latest[groups.flow]
        place = np.where(groups.goes_on, latest, LEFT_OUT)
        new = np.flatnonzero(~groups.goes_on & (latest != LEFT_OUT))
        first = groups.first[new]
        order = np.lexsort((lot.arrival[first], lot.times[first]))
        place[new[order]] = self._table.allot(len(new))
        return place

    def _read(
        self,
        records: NDArray[np.void],
        lot: Lot,
        groups: Groups,
        kept: NDArray[np.bool_],
        buffer: NDArray[np.uint8],
    ) -> None:
        """Take in payloads; a stream is begun for each side of a record that has any."""
        spoken = (lot.size > 0) & kept[groups.of]
        row = np.concatenate([np.flatnonzero(spoken & (lot.side == side)) for side in (0, 1)])
        if not len(row):
            return
        of, side = groups.of[row], lot.side[row]
        begins = np.ones(len(row), dtype=np.bool_)
        begins[1:] = (of[1:] != of[:-1]) | (side[1:] != side[:-1])
        who, whose = of[begins], side[begins]
        first = np.flatnonzero(begins)
        records["total"][who, whose] += np.add.reduceat(lot.size[row], first)
        stream = records["stream"][who, whose].astype(np.int64)
        base = records["base"][who, whose]
        new = np.flatnonzero(stream == UNKNOWN)
        begun = row[first[new]]
        new = new[np.lexsort((lot.arrival[begun], lot.times[begun]))]
        stream[new] = self._streams.allot(base[new])
        self.unheard += int(np.count_nonzero(stream[new] == LEFT_OUT))
        records["stream"][who, whose] = stream
        anchored = (records["known"][who] & (ANCHORED << whose)) != 0
        unit = np.cumsum(begins) - 1
        payloads = Payloads(
            stream=stream[unit],
            begin=lot.begin[row],
            base=base[unit],
            anchored=anchored[unit],
            size=lot.size[row],
            payload=lot.payload[row],
            captured=lot.captured[row],
        )
        if (stream < 0).any():
            payloads = payloads.take(payloads.stream >= 0)
        if len(payloads):
            self._streams.add(payloads, buffer)
