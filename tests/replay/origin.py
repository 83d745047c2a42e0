"""Blanks what dumpcap writes of the machine into a pcapng file: nobody's business, and nothing depends on it.

draft-ietf-opsawg-pcapng sections 4.1 and 4.2: options follow the fixed part of a block, each with a
16-bit code, a 16-bit length, and a value padded to 32 bits.
"""

from __future__ import annotations

import struct

_SECTION, _INTERFACE = 0x0A0D0D0A, 1
_FIXED_PART = {_SECTION: 24, _INTERFACE: 16}
_TELLING = {_SECTION: (2, 3), _INTERFACE: (12,)}  # shb_hardware, shb_os; if_os


def without_origin(capture: bytes) -> bytes:
    """The same file, of the same length, with spaces for the names of processor and operating system."""
    blanked = bytearray(capture)
    at = 0
    while at < len(capture):
        kind, length = struct.unpack_from("=II", capture, at)
        option, end = at + _FIXED_PART.get(kind, length), at + length - 4
        while option + 4 <= end:
            code, size = struct.unpack_from("=HH", capture, option)
            if code in _TELLING[kind]:
                blanked[option + 4 : option + 4 + size] = b" " * size
            option += 4 + (size + 3 & ~3)
        at += length
    return bytes(blanked)
