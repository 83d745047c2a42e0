"""The list that `ghost_sweep` and `ghost_read` give: Scapy's own, filled when it is looked at.

The verdicts are there at once. Packets are made of the evidence when somebody asks for them, since a Scapy
packet costs as much as thousands of probes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scapy.packet import Packet
from scapy.plist import PacketList, QueryAnswer, SndRcvList

from scanner.core.pairing import Pairs
from scanner.result import Result
from scanner.scapy_extension.verdicts import Verdicts


class Recorded(Protocol):
    """Packets that were recorded."""

    def pairs(self) -> Pairs:
        """Which were probes, and which the replies that decided."""

    def packets(self, places: NDArray[np.int64]) -> dict[int, Packet]:
        """Those at some places."""


class GhostList(SndRcvList):
    """Pairs of a probe and the reply that decided, by address and port; `verdicts` has every target.

    answered: the same pairs as an ordinary list. unanswered: the last probe to each target that was sent one
    and gave no reply that counts.
    """

    def __init__(self, name: str, result: Result, recorded: Recorded) -> None:
        self._recorded = recorded
        self.verdicts = Verdicts(result)
        super().__init__(None, name)

    @cached_property
    def _pairs(self) -> Pairs:
        return self._recorded.pairs()

    @cached_property
    def _packets(self) -> list[QueryAnswer]:
        return self._made(slice(None))

    def _made(self, part: slice) -> list[QueryAnswer]:
        """The pairs of a part of the list."""
        probes, replies = self._pairs.probe[part], self._pairs.reply[part]
        found = self._recorded.packets(np.concatenate([probes, replies]))
        made = []
        for probe, reply in zip(probes.tolist(), replies.tolist(), strict=True):
            if probe in found and reply in found:
                query = found[probe]
                query.sent_time = query.sent_time or query.time
                made.append(QueryAnswer(query, found[reply]))
        return made

    # What `SndRcvList` holds in a slot is made here when it is read.
    @property
    def res(self) -> list[QueryAnswer]:
        """The pairs, as a plain list."""
        return self._packets

    @res.setter
    def res(self, value: object) -> None:
        pass

    @property
    def answered(self) -> SndRcvList:
        """The pairs."""
        return SndRcvList(self.res, self.listname)

    @cached_property
    def unanswered(self) -> PacketList:
        """Probes that nothing came back to."""
        places = self._pairs.unanswered
        found = self._recorded.packets(places)
        probes = [found[place] for place in places.tolist() if place in found]
        for probe in probes:
            probe.sent_time = probe.sent_time or probe.time
        return PacketList(probes, "Unanswered")

    def __len__(self) -> int:
        return len(self._pairs.probe)

    def __repr__(self) -> str:
        counts = f"{len(self)} answered, {len(self._pairs.unanswered)} unanswered"
        return f"<{self.listname}: {counts}; {'; '.join(repr(self.verdicts).splitlines())}>"

    # Parts of it are ordinary lists: they have no verdicts of their own.
    def __getitem__(self, item: Any) -> Any:  # noqa: ANN401 - as Scapy's own
        if isinstance(item, int):
            row = range(len(self))[item]
            return self._made(slice(row, row + 1))[0]
        if isinstance(item, slice):
            return SndRcvList(self._made(item), f"mod {self.listname}")
        return self.answered[item]

    def __add__(self, other: Any) -> Any:  # noqa: ANN401
        return self.answered + other

    def filter(self, func: Callable[..., bool]) -> SndRcvList:
        """The pairs for which a function of both packets is true."""
        return SndRcvList([pair for pair in self.res if func(*pair)], f"filtered {self.listname}")

    def sessions(self, session_extractor: Callable[[Packet], str] | None = None) -> dict[str, Any]:
        """As Scapy's lists have it."""
        return self.answered.sessions(session_extractor)

    def __reduce__(self) -> tuple[type[SndRcvList], tuple[Iterable[QueryAnswer], str]]:
        return SndRcvList, (self.res, self.listname)
