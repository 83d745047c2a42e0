"""Reading TPACKET_V3 blocks as NumPy arrays: from block descriptors to `Frames`.

This file opens no socket: it is given the ring's memory, real or made up, and the places
of the blocks the kernel has handed over. It copies no frame, except where a VLAN tag has
to be put back.

Layout (include/uapi/linux/if_packet.h), byte offsets:

    struct tpacket_block_desc           struct tpacket3_hdr
     0  u32 version                      0  u32 tp_next_offset
     4  u32 offset_to_priv               4  u32 tp_sec
     8  u32 block_status                 8  u32 tp_nsec
    12  u32 num_pkts                    12  u32 tp_snaplen
    16  u32 offset_to_first_pkt         16  u32 tp_len
    20  u32 blk_len                     20  u32 tp_status
    24  u64 seq_num                     24  u16 tp_mac   (offset of the link header)
    32  ts_first_pkt, ts_last_pkt       26  u16 tp_net
                                        28  u32 tp_rxhash
                                        32  u32 tp_vlan_tci
                                        36  u16 tp_vlan_tpid
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from scanner.contracts import Frames

BLOCK_STATUS_WORD = 2
"""Index of `block_status` in a block seen as u32 words."""

_NUM_PKTS_WORD = 3
_FIRST_PKT_WORD = 4
_BLK_LEN_WORD = 5

_MAC_NET_WORD = 6
_HEADER_ALIGNMENT = 8  # V3_ALIGNMENT
_WORTH_A_SEARCH = 64
"""Frames; fewer are followed as fast."""

_TP_STATUS_VLAN_VALID = 1 << 4
_TP_STATUS_VLAN_TPID_VALID = 1 << 6
_ETHERTYPE_VLAN = 0x8100
_TAG_PLACE = 12  # behind the two hardware addresses
_TAG_LENGTH = 4


class RingMemory:
    """A receive ring's memory, seen as bytes, u16 and u32 at once.

    memory: `(B,)` uint8, contiguous; B is a multiple of 4.
    """

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        """Make the views; nothing is copied."""
        self.octets = memory
        self.halves = memory.view(np.uint16)
        self.words = memory.view(np.uint32)
        # Indexing a memoryview gives Python integers, several times faster than NumPy scalars.
        self.scalars = self.words.data

    def frames(self, blocks: Iterable[int], link_type: int) -> Frames:
        """The frames of the blocks that begin at these byte offsets, in their order."""
        places = [self._headers(block) for block in blocks]
        headers = np.concatenate(places) if len(places) != 1 else places[0]
        if not len(headers):
            return no_frames(link_type)
        words = headers >> 2
        halves = headers >> 1
        seconds = self.words[words + 1].astype(np.int64)
        status = self.words[words + 5]
        frames = Frames(
            buffer=self.octets,
            starts=headers + self.halves[halves + 12],
            lengths=self.words[words + 3].astype(np.int64),
            original_lengths=self.words[words + 4].astype(np.int64),
            times=seconds * 1_000_000_000 + self.words[words + 2],
            link_type=link_type,
        )
        tagged = (status & _TP_STATUS_VLAN_VALID) != 0
        if not tagged.any():
            return frames
        known = (status & _TP_STATUS_VLAN_TPID_VALID) != 0
        tpid = np.where(known, self.halves[halves + 18], _ETHERTYPE_VLAN)
        tci = self.words[words + 8] & 0xFFFF
        return restore_vlan_tags(frames, tagged, tpid.astype(np.uint16), tci.astype(np.uint16))

    def _headers(self, block: int) -> NDArray[np.int64]:
        """Byte offsets of a block's frame headers, each `tp_next_offset` behind the one before.

        That is a chain, but it is hardly ever followed link by link: where the headers are is guessed in
        two ways, and the guess held against the links.
        """
        word = block >> 2
        count = self.scalars[word + _NUM_PKTS_WORD]
        first = block + self.scalars[word + _FIRST_PKT_WORD]
        headers = self._in_step(first, count)
        if len(headers) < count and count >= _WORTH_A_SEARCH:
            end = min(block + self.scalars[word + _BLK_LEN_WORD], len(self.octets))
            found = self._alike(first, end)
            if len(found) == count and (found[:-1] + self.words[found[:-1] >> 2] == found[1:]).all():
                return found
        return self._followed(headers, count)

    def _in_step(self, first: int, count: int) -> NDArray[np.int64]:
        """Headers as far as all frames are of one length, as replies of one kind are: at least the first."""
        stride = self.scalars[first >> 2] if count else 0
        fitting = min(count, (len(self.octets) - first) // stride) if stride else min(count, 1)
        guess = first + stride * np.arange(fitting, dtype=np.int64)
        right = self.words[guess >> 2] == stride
        # Header i + 1 is where it was guessed when headers 0 to i all have that stride. The last
        # header of a block says 0, so `right` ends in False there and the guess is still whole.
        return guess if right.all() else guess[: int(right.argmin()) + 1]

    def _alike(self, first: int, end: int) -> NDArray[np.int64]:
        """Places that look like headers of this block.

        `tp_mac` and `tp_net` are the same in all of a link. But so they are in what is left of earlier
        headers in the gaps between frames, which is older than the first of these; and they may be in a
        payload, by chance or somebody's wit: then the chain does not close.
        """
        word = first >> 2
        alike = self.words[word + _MAC_NET_WORD : end >> 2 : 2]
        words = np.flatnonzero(alike == alike[:1]) * (_HEADER_ALIGNMENT >> 2) + word
        seconds, nanoseconds = self.words[words + 1], self.words[words + 2]
        recent = (seconds > seconds[0]) | ((seconds == seconds[0]) & (nanoseconds >= nanoseconds[0]))
        places: NDArray[np.int64] = words[recent] << 2
        return places

    def _followed(self, headers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """All headers, of which the first ones are known."""
        if len(headers) == count:
            return headers
        scalars = self.scalars
        word = int(headers[-1]) >> 2
        rest = []
        for _ in range(count - len(headers)):
            word += scalars[word] >> 2
            rest.append(word)
        return np.concatenate((headers, np.array(rest, dtype=np.int64) << 2))


def no_frames(link_type: int) -> Frames:
    """What `receive` gives when nothing came in."""
    none = np.empty(0, dtype=np.int64)
    return Frames(
        buffer=np.empty(0, dtype=np.uint8),
        starts=none,
        lengths=none,
        original_lengths=none,
        times=none,
        link_type=link_type,
    )


def restore_vlan_tags(
    frames: Frames, tagged: NDArray[np.bool_], tpid: NDArray[np.uint16], tci: NDArray[np.uint16]
) -> Frames:
    """A copy of Ethernet frames with the 802.1Q tags back in that the kernel took out.

    tagged: `(N,)` bool, which frames had one. tpid, tci: `(N,)` uint16, host byte order, read
    for those only. The tag stands behind the hardware addresses (IEEE 802.1Q, 9.3).
    """
    tagged = tagged & (frames.lengths >= _TAG_PLACE)
    added = tagged * _TAG_LENGTH
    lengths = frames.lengths + added
    starts = np.cumsum(lengths) - lengths
    position = _ramps(frames.lengths)
    shift = np.where(position < _TAG_PLACE, 0, np.repeat(added, frames.lengths))
    buffer = np.empty(int(lengths.sum()), dtype=np.uint8)
    buffer[np.repeat(starts, frames.lengths) + position + shift] = frames.buffer[
        np.repeat(frames.starts, frames.lengths) + position
    ]
    tags = np.stack((tpid[tagged], tci[tagged]), axis=1).astype(">u2").view(np.uint8)
    buffer[starts[tagged, None] + np.arange(_TAG_PLACE, _TAG_PLACE + _TAG_LENGTH)] = tags
    return Frames(
        buffer=buffer,
        starts=starts,
        lengths=lengths,
        original_lengths=frames.original_lengths + added,
        times=frames.times,
        link_type=frames.link_type,
    )


def _ramps(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 … lengths[0]-1, 0 … lengths[1]-1, and so on, end to end."""
    ends = np.cumsum(lengths)
    return np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(ends - lengths, lengths)
