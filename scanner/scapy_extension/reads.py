"""`ghost_read`: a capture, or packets that Scapy has sniffed, by the rules of a sweep."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scapy.error import log_runtime
from scapy.packet import Packet
from scapy.sendrecv import AsyncSniffer

from scanner.capture.evidence import Plan, read_plan
from scanner.contracts import Frames
from scanner.core.pairing import Pairs
from scanner.core.selection import Selection
from scanner.model import UsageError
from scanner.reading import asked_ports, open_planned, read_captures, read_frames, read_pairs
from scanner.scapy_extension.frames import frames_of, packets_at
from scanner.scapy_extension.results import GhostList

_NAME = "ghost_read"


def ghost_read(source: object, *, ports: str | Iterable[int] | None = None) -> GhostList:
    """Say of every port that was probed in a capture what it is, and why.

        ghost_read("capture.pcap")
        ghost_read(sniffer.results, ports="401,3493")     # of an AsyncSniffer

    Args:
        source: a pcap or pcapng file; or packets: a PacketList, what `sr` gives, an AsyncSniffer that was
            stopped, or any iterable of them. The pairs are then made of these very packets.
        ports: those to speak of, as text or numbers; None: 401, or those of the plan beside the capture.

    Raises:
        CaptureError: the file cannot be read, or is no capture. UsageError: the ports are none, or the source
            holds something else than packets.
    """
    selection = Selection(ports=None if ports is None else asked_ports(ports))
    if isinstance(source, str | os.PathLike):
        reading = read_captures([source], selection=selection, warn=log_runtime.warning)
        return GhostList(_NAME, reading.result, _File(source, selection))
    packets = _Packets(list(_packets_in(source)), selection)
    reading = read_frames(frames_of(packets.held), selection=selection)
    return GhostList(_NAME, reading.result, packets)


def _packets_in(source: object) -> Iterator[Packet]:
    """The packets of a list, of pairs in it, or of several lists."""
    if isinstance(source, AsyncSniffer):
        if source.running:
            raise UsageError("the sniffer is running: stop() it first")
        source = source.results or []
    if not isinstance(source, Iterable) or isinstance(source, bytes):
        raise UsageError(
            f"{type(source).__name__} is no capture: give a file, a PacketList or an AsyncSniffer"
        )
    for item in source:
        if isinstance(item, Packet):
            yield item
        else:
            yield from _packets_in(item)


class _File:
    """A capture on disk."""

    def __init__(self, path: str | os.PathLike[str], selection: Selection) -> None:
        self._path = path
        self._selection = selection

    def pairs(self) -> Pairs:
        plan = read_plan(self._path)
        return read_pairs(self._frames(plan), selection=self._selection, plan=plan)

    def packets(self, places: NDArray[np.int64]) -> dict[int, Packet]:
        # Places count frames in the order in which they were read for the pairs.
        return packets_at(self._frames(read_plan(self._path)), places, link=True)

    def _frames(self, plan: Plan | None) -> Iterator[Frames]:
        return open_planned(self._path, plan, warn=lambda _: None)


class _Packets:
    """Packets in memory."""

    def __init__(self, held: list[Packet], selection: Selection) -> None:
        self.held = held
        self._selection = selection

    def pairs(self) -> Pairs:
        return read_pairs(frames_of(self.held), selection=self._selection)

    def packets(self, places: NDArray[np.int64]) -> dict[int, Packet]:
        return {place: self.held[place] for place in places.tolist()}
