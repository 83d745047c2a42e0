"""What a conversation came to: who its client is, and its state, from what was seen of both sides."""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import NDArray

from scanner.core.conversation_packets import (
    SEEN_ACK,
    SEEN_FIN,
    SEEN_RST,
    SEEN_SYN,
    SEEN_SYN_ACK,
    SIDE_BITS,
)
from scanner.core.conversation_table import NO_SIDE


class ConversationState(enum.StrEnum):
    """How far a conversation came. The position in this list is the code by which arrays name a state."""

    SYN_ONLY = "syn-only"
    """A SYN, and neither agreement nor a reset from the server."""
    REFUSED = "refused"
    """A SYN, and a reset from the server."""
    HALF_OPEN = "half-open"
    """The server agreed (SYN/ACK, or a SYN of its own); the client did not acknowledge it, or reset it."""
    ESTABLISHED = "established"
    """The handshake was done; the end, if it came, was not recorded."""
    CLOSED = "closed"
    """The handshake was done, and both sides said FIN."""
    RESET = "reset"
    """The handshake was done, and then somebody sent a reset, before both had said FIN or in place of it."""
    MID_STREAM = "mid-stream"
    """TCP without any SYN: the capture began later, or there never was one."""
    ONE_WAY = "one-way"
    """UDP from the client alone."""
    TWO_WAY = "two-way"
    """UDP both ways."""


STATES: tuple[ConversationState, ...] = tuple(ConversationState)
"""States by code: `STATES[code]`."""

_CODES = {state: code for code, state in enumerate(STATES)}


def clients(records: NDArray[np.void], ports: NDArray[np.bool_], *, tcp: bool) -> NDArray[np.int64]:
    """The side that is the client: 0 or 1.

    Of UDP, who spoke first. Of TCP, who sent the first SYN; where there is none, who was sent a SYN/ACK; else
    whose port is not one of `ports`, `(65536,)` bool; where both or none are, who spoke first.
    """
    spoke = records["spoke"].astype(np.int64)
    if not tcp:
        return spoke
    seen, opener = records["seen"], records["opener"]
    agreed = [_side(seen, side) & SEEN_SYN_ACK != 0 for side in (0, 1)]
    asked = [ports[_port(records, side)] for side in (0, 1)]
    return np.select(
        [opener != NO_SIDE, agreed[0] != agreed[1], asked[0] != asked[1]],
        [opener, agreed[0], asked[0]],
        default=spoke,
    )


def states(records: NDArray[np.void], client: NDArray[np.int64], *, tcp: bool) -> NDArray[np.int64]:
    """The code of each conversation's state."""
    packets = records["packets"]
    row = np.arange(len(records))
    sent, received = packets[row, client] > 0, packets[row, 1 - client] > 0
    if not tcp:
        return np.where(sent & received, _CODES[ConversationState.TWO_WAY], _CODES[ConversationState.ONE_WAY])
    ours, theirs = _side(records["seen"], client), _side(records["seen"], 1 - client)
    syn, acknowledged, agreed_too = (ours & bit != 0 for bit in (SEEN_SYN, SEEN_ACK, SEEN_SYN_ACK))
    syn_back, acknowledged_back, agreed = (theirs & bit != 0 for bit in (SEEN_SYN, SEEN_ACK, SEEN_SYN_ACK))
    # Of a capture of one direction, what is there tells of the rest.
    done = (
        acknowledged & (agreed | (syn & (acknowledged_back | ~received)))
        | agreed_too & syn_back & (acknowledged_back | agreed)
        | agreed & acknowledged_back & ~sent
    )
    reset = (ours | theirs) & SEEN_RST != 0
    finished = ours & theirs & SEEN_FIN != 0
    return np.select(
        [
            ~(syn | agreed | agreed_too | syn_back),
            done & finished,
            done & reset,
            done,
            agreed | syn_back,
            theirs & SEEN_RST != 0,
        ],
        [
            _CODES[state]
            for state in (
                ConversationState.MID_STREAM,
                ConversationState.CLOSED,
                ConversationState.RESET,
                ConversationState.ESTABLISHED,
                ConversationState.HALF_OPEN,
                ConversationState.REFUSED,
            )
        ],
        default=_CODES[ConversationState.SYN_ONLY],
    )


def _side(seen: NDArray[np.uint16], side: int | NDArray[np.int64]) -> NDArray[np.int64]:
    """What was seen of one side."""
    bits: NDArray[np.int64] = seen.astype(np.int64) >> (side * SIDE_BITS) & (1 << SIDE_BITS) - 1
    return bits


def _port(records: NDArray[np.void], side: int) -> NDArray[np.int64]:
    ports: NDArray[np.int64] = (records["two"] >> np.uint64(32 if side else 48)).astype(np.int64) & 0xFFFF
    return ports
