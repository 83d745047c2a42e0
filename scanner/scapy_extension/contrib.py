"""The names of `scapy.contrib.ghostport`.

Scapy runs this file as a module of its own; what it names lives beside it, so that there is one of each.
"""

from __future__ import annotations

from scanner.scapy_extension.nut import NUT, NUTAnswer, NUTCommand, NUTResponse, NUTText
from scanner.scapy_extension.reads import ghost_read
from scanner.scapy_extension.sweeps import ghost_sweep

__all__ = ["NUT", "NUTAnswer", "NUTCommand", "NUTResponse", "NUTText", "ghost_read", "ghost_sweep"]
