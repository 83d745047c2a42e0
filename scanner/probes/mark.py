"""The mark by which a network's owner recognises our probes."""

from __future__ import annotations

IP_ID = 0x4750
"""IP identification of every IPv4 probe: 18256, ASCII "GP". Filter on it: `ip[4:2] == 0x4750`."""
