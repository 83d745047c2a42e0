"""Frames through the dissector, and what it gave as plain rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from scanner.core.book import AddressBook
from scanner.core.dissect import Dissector

ETHERNET, RAW = 1, 101
PORTS = (401,)

Row = dict[str, Any]


def ether(payload: Packet) -> Packet:
    return Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / payload


@dataclass
class Dissection:
    """A dissector with a book; keeps what comes out as rows, addresses as text."""

    ports: Iterable[int] = PORTS
    kept: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        asked = np.zeros(65536, dtype=np.bool_)
        asked[list(self.ports)] = True
        self.book = AddressBook()
        self.dissector = Dissector(self.book, asked)
        self.added = 0

    def add(self, frames: Iterable[bytes], link_type: int = ETHERNET, gap: bytes = b"") -> Dissection:
        listed = list(frames)
        buffer = np.frombuffer(b"".join(frame + gap for frame in listed), dtype=np.uint8)
        lengths = np.array([len(frame) for frame in listed], dtype=np.int64)
        starts = np.cumsum(lengths + len(gap)) - (lengths + len(gap))
        times = 1_000 + np.arange(self.added, self.added + len(listed), dtype=np.int64)
        self.added += len(listed)
        for decoded in self.dissector.add(buffer, starts, lengths, times.__getitem__, link_type):
            self._keep(decoded)
        return self

    def finish(self) -> Dissection:
        for decoded in self.dissector.finish():
            self._keep(decoded)
        return self

    @property
    def unread(self) -> Counter[str]:
        return self.dissector.unread

    def _keep(self, decoded: Any) -> None:
        for kind in ("tcp", "udp", "icmp"):
            rows = table(getattr(decoded, kind))
            texts = ("source", "destination", "quoted_source", "quoted_destination")
            for name in texts if len(rows) else ():
                if name in rows[0]:
                    numbers = np.array([row[name] for row in rows], dtype=np.uint32)
                    for row, text in zip(rows, self.book.texts(numbers), strict=True):
                        row[name] = text
            for row in rows:
                if "payload" in row:
                    begin, there = row.pop("payload"), row.pop("captured")
                    assert 0 <= there <= len(decoded.buffer) - begin
                    row["data"] = decoded.buffer[begin : begin + there].tobytes()
                self.kept.append({"kind": kind, **row})
        self.kept.extend({"kind": "arp", **row} for row in table(decoded.arp))


def table(group: Any) -> list[Row]:
    """Columns as rows; what ICMP quotes has names of its own."""
    columns: dict[str, list[Any]] = {}
    nested = [name for name in group.__slots__ if name == "ip"]
    for name in group.__slots__:
        if name not in nested:
            columns[f"quoted_{name}" if nested and name in {"source", "destination"} else name] = getattr(
                group, name
            ).tolist()
    if nested:
        columns |= {inner: getattr(group.ip, inner).tolist() for inner in group.ip.__slots__}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def dissected(*frames: bytes | Packet, ports: Iterable[int] = PORTS, link_type: int = ETHERNET) -> Dissection:
    return Dissection(ports).add([bytes(frame) for frame in frames], link_type).finish()


def pick(row: Row, *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)
