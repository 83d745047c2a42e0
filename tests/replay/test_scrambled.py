"""What is made up at random reads as tshark and the oracle say.

SEEDS=500 in the environment tries more than `make test` has time for.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scanner.core.selection import Selection
from scanner.reading import read_captures
from tests.replay.frames import Seen, read_frames
from tests.replay.oracle import Record, verdicts
from tests.replay.scrambled import PORTS, capture

FLOWS = 60
SEEDS = int(os.environ.get("SEEDS", "6"))
BUT_VXLAN = frozenset(range(1 << 16)) - {4789}
"""To that port the outer datagrams are probes as well, of which the oracle does not speak."""

pytestmark = pytest.mark.skipif(
    shutil.which("tshark") is None, reason="tshark is not installed (make lab-packages)"
)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_oracle_says_the_same(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "scrambled.pcap"
    assert differences(seed, path) == []


def test_what_is_made_up_is_of_every_kind(tmp_path: Path) -> None:
    """Else the other test says nothing."""
    path = tmp_path / "scrambled.pcap"
    path.write_bytes(capture(2, 200))
    records = list(verdicts(read_frames(path), PORTS).values())
    found = {(record["proto"], record["state"], record["reason"]) for record in records}
    assert {state for _, state, _ in found} == {"open", "closed", "filtered", "open|filtered"}
    assert len(found) > 15
    for fact in ("note", "superseded"):
        assert any(record[fact] for record in records)


def differences(seed: int, path: Path) -> list[str]:
    """Where reader and oracle differ about one capture, asked about few ports and about nearly all."""
    path.write_bytes(capture(seed, FLOWS))
    seen = read_frames(path)
    return [
        line
        for ports in (PORTS, BUT_VXLAN)
        for per_prober in (False, True)
        for line in _differing(path, seen, ports, per_prober=per_prober)
    ]


def _differing(path: Path, seen: Seen, ports: Collection[int], *, per_prober: bool) -> Iterable[str]:
    wanted = np.zeros(1 << 16, dtype=np.bool_)
    wanted[[*ports]] = True
    theirs = list(verdicts(seen, ports, per_prober=per_prober).values())
    reading = read_captures([path], selection=Selection(ports=wanted), per_prober=per_prober)
    ours: list[Record] = msgspec.json.decode(msgspec.json.encode(list(reading.result)))
    yield from (f"we say {own}" for own in ours if own not in theirs)
    yield from (f"the oracle says {other}" for other in theirs if other not in ours)
