"""Conversations: every exchange with some ports on either side, whether a handshake was done or not.

Feed it decoded frames in the order of the capture, then ask. What is kept is a record for each conversation
and what its sides said first, in columns, of a bounded number; packets are not kept. Whether they are given
one by one or all at once makes no difference, as long as their times grow; among those that are given
together, time decides.

Packets are counted as they are: one that a mirror port shows twice counts twice. Bytes are those of payloads
on the wire, each of a TCP stream once (`conversation_streams`). Where one conversation of a flow ends and the
next begins is told in `conversation_split`, states and who is the client in `conversation_states`. ICMP is
not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from scanner.core.conversation_book import ConversationBook, Rows
from scanner.core.conversation_packets import of_datagrams, of_segments
from scanner.core.conversation_states import STATES, ConversationState
from scanner.core.conversation_table import Room
from scanner.core.packets import NO_TIME, NO_TUNNEL, Decoded
from scanner.model import Protocol, Service

MOST = 1 << 19
"""Conversations that are kept: 108 bytes each, and 20 for its flow; the addresses and tunnels that are met
take memory as well."""
MOST_STREAMS = 1 << 18
"""Sides of conversations of which is kept what they said: 108 bytes each. Of the others payloads are counted
as they are, copies too."""

_AT_ONCE = 8192
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0x100))} | {ord("\\"): "\\\\"}


Recognise = Callable[[int, bytes, bytes], Service | None]
"""Tells a TCP service by its port, and by what the client and the server said first."""


def unknown(_port: int, _asked: bytes, _said: bytes) -> None:
    """Recognises nothing."""


class Conversation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    r"""One conversation.

    `out` is from the client to the server, `in` the way back. `start` and `end` are the times of the first
    and the last packet, ISO 8601 in UTC, None in a capture without times. `first_out` and `first_in` are up
    to 64 bytes, as ASCII: what is not printable is written as `\x1b`, a backslash as `\\`. `tunnel` is the
    number of the tunnel that it came in, if it did. `service` is what the first bytes tell of a TCP server,
    None where they tell nothing.
    """

    client: str
    client_port: int
    server: str
    server_port: int
    proto: Protocol
    start: str | None
    end: str | None
    state: ConversationState
    packets_out: int
    packets_in: int
    bytes_out: int
    bytes_in: int
    first_out: str
    first_in: str
    tunnel: int | None = None
    service: Service | None = None


class Conversations:
    """Collects conversations.

    left_out: packets of conversations for which there was no room. unheard: sides that said something, of
    which there was no room to keep it: their first bytes are not known.
    """

    def __init__(self, ports: NDArray[np.bool_], most: int = MOST, most_streams: int = MOST_STREAMS) -> None:
        """`ports`: `(65536,)` bool, those asked about; the rest as the constants that are their defaults."""
        self._ports = ports
        room, streams = Room(most), Room(most_streams)
        self._tcp = ConversationBook(room, streams, tcp=True)
        self._udp = ConversationBook(room, streams, tcp=False)

    def __len__(self) -> int:
        return len(self._tcp) + len(self._udp)

    @property
    def left_out(self) -> int:
        """As the class says."""
        return self._tcp.left_out + self._udp.left_out

    @property
    def unheard(self) -> int:
        """As the class says."""
        return self._tcp.unheard + self._udp.unheard

    def add(self, decoded: Decoded) -> None:
        """Take in the packets of some frames."""
        self._tcp.add(of_segments(decoded.tcp, self._ports), decoded.buffer)
        self._udp.add(of_datagrams(decoded.udp, self._ports), decoded.buffer)

    def tally(self) -> Counter[ConversationState]:
        """How many conversations have which state."""
        counts = np.zeros(len(STATES), dtype=np.int64)
        for book in (self._tcp, self._udp):
            for begin in range(0, len(book), _AT_ONCE):
                codes = book.states(begin, min(begin + _AT_ONCE, len(book)), self._ports)
                counts += np.bincount(codes, minlength=len(STATES))
        return Counter({STATES[code]: count for code, count in enumerate(counts.tolist()) if count})

    def finish(
        self, names: Callable[[NDArray[np.uint32]], list[str]], recognise: Recognise = unknown
    ) -> Iterator[Conversation]:
        """All conversations in order of start time.

        `names` turns address numbers into text. `recognise` is asked about TCP servers that said something.
        """
        border = len(self._tcp)
        order = np.argsort(np.concatenate([self._tcp.starts, self._udp.starts]), kind="stable")
        for begin in range(0, len(order), _AT_ONCE):
            piece = order[begin : begin + _AT_ONCE]
            is_udp = piece >= border
            rows = Rows.concatenate(
                (
                    self._tcp.rows(piece[~is_udp], self._ports),
                    self._udp.rows(piece[is_udp] - border, self._ports),
                )
            )
            # Those of TCP come first now: back into the order of the piece.
            back = np.empty(len(piece), dtype=np.int64)
            back[np.argsort(is_udp, kind="stable")] = np.arange(len(piece))
            yield from _conversations(rows.take(back), names, recognise)


def _conversations(
    rows: Rows, names: Callable[[NDArray[np.uint32]], list[str]], recognise: Recognise
) -> Iterator[Conversation]:
    return (
        Conversation(
            client=client,
            client_port=client_port,
            server=server,
            server_port=server_port,
            proto=Protocol.TCP if tcp else Protocol.UDP,
            start=start,
            end=end,
            state=STATES[state],
            packets_out=packets[0],
            packets_in=packets[1],
            bytes_out=sizes[0],
            bytes_in=sizes[1],
            first_out=first_out,
            first_in=first_in,
            tunnel=None if tunnel == NO_TUNNEL else tunnel,
            service=recognise(server_port, out, back) if tcp and back else None,
        )
        for (
            client,
            client_port,
            server,
            server_port,
            tcp,
            start,
            end,
            state,
            packets,
            sizes,
            first_out,
            first_in,
            out,
            back,
            tunnel,
        ) in zip(
            names(rows.client),
            rows.client_port.tolist(),
            names(rows.server),
            rows.server_port.tolist(),
            rows.tcp.tolist(),
            _times(rows.start),
            _times(rows.end),
            rows.state.tolist(),
            rows.packets.tolist(),
            rows.sizes.tolist(),
            _escaped(rows.text_out, rows.length_out),
            _escaped(rows.text_in, rows.length_in),
            _plain(rows.text_out, rows.length_out),
            _plain(rows.text_in, rows.length_in),
            rows.tunnel.tolist(),
            strict=True,
        )
    )


def _plain(text: NDArray[np.uint8], length: NDArray[np.int64]) -> list[bytes]:
    """The first bytes of each row."""
    data, width = text.tobytes(), text.shape[1]
    starts = range(0, len(data), width)
    return [data[begin : begin + count] for begin, count in zip(starts, length.tolist(), strict=True)]


def _times(times: NDArray[np.int64]) -> list[str | None]:
    texts = np.datetime_as_string(times.view("M8[ns]").astype("M8[us]")).tolist()
    return [None if time == NO_TIME else f"{text}Z" for time, text in zip(times.tolist(), texts, strict=True)]


def _escaped(text: NDArray[np.uint8], length: NDArray[np.int64]) -> list[str]:
    """The first bytes of each row, as `Conversation` has them."""
    characters, width = text.tobytes().decode("latin-1"), text.shape[1]
    return [
        characters[begin : begin + count].translate(_ESCAPES) if count else ""
        for begin, count in zip(range(0, len(characters), width), length.tolist(), strict=True)
    ]
