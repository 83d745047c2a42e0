"""`ghost_sweep`: a Scapy packet to many addresses, at the speed of the engine."""

from __future__ import annotations

import os
import shutil
import weakref
from collections.abc import Iterable, Iterator
from math import inf
from pathlib import Path
from tempfile import mkdtemp
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scapy.error import log_runtime
from scapy.packet import Packet

from scanner.capture.evidence import Plan, read_plan
from scanner.contracts import Frames, Network
from scanner.core.pairing import Pairs
from scanner.core.selection import Selection
from scanner.model import WireError
from scanner.planning import DEFAULT_RETRIES, DEFAULT_WAIT
from scanner.reading import open_planned, read_pairs
from scanner.scapy_extension.asking import asked_by
from scanner.scapy_extension.frames import packets_at
from scanner.scapy_extension.results import GhostList
from scanner.sweeping import Sweep, sweep


def ghost_sweep(  # noqa: PLR0913 - keywords, each with a default
    packet: Packet,
    *,
    rate: float | Literal["auto"] = "auto",
    max_rate: float = inf,
    retries: int = DEFAULT_RETRIES,
    timeout: float = DEFAULT_WAIT,
    exclude: str | Iterable[str] = (),
    iface: object = None,
    seed: int | None = None,
    evidence: str | os.PathLike[str] | None = None,
    network: Network | None = None,
) -> GhostList:
    """Send a packet to all its destinations and ports, and say of each what it is, and why.

        ghost_sweep(IP(dst="10.0.0.0/24")/TCP(dport=401, flags="S"))
        ghost_sweep(IP(dst=["10.0.0.0/24", "10.1.0.7"])/UDP(dport=(160, 170))/b"hello", rate=50_000)

    The packet leaves as it is written; addresses, ports, sequence number, checksums and the mark (the IP
    identification) are filled in. An interrupt ends the sweep early, and keeps what was learnt.

    Args:
        packet: IP or IPv6, and TCP with flags "S", or UDP with any payload.
        rate: packets a second; "auto" for as many as get through, `float("inf")` for as many as the kernel
            carries.
        max_rate: packets a second that are never exceeded.
        retries: further probes for targets that stay silent.
        timeout: seconds, the longest wait for a reply to one probe.
        exclude: what is not probed: addresses, CIDRs or ranges.
        iface: leave by this one; the route's own where None.
        seed: of the order in which targets are probed; at random where None.
        evidence: a pcap to keep, with the plan beside it; else it goes when the list does.
        network: another network than this machine's, such as `scanner.wire.memory.SimulatedNetwork`.

    Raises:
        UsageError: the packet, or something else, cannot be sent. ScopeRefused: a target may not be probed.
    """
    asking = asked_by(packet)
    kept = _Evidence(evidence)
    planned = sweep(
        asking.targets,
        ports=asking.ports,
        protocols=[asking.probe.protocol],
        exclude=exclude,
        rate=rate,
        max_rate=max_rate,
        retries=retries,
        wait=timeout,
        interface=asking.interface if iface is None else str(getattr(iface, "network_name", iface)),
        source_ip=asking.source,
        seed=seed,
        evidence=kept.path,
        probes=[asking.probe],
        network=network,
    )
    _run(planned)
    return GhostList("ghost_sweep", planned.result(), kept)


def _run(planned: Sweep) -> None:
    """Run a sweep to its end, or until somebody or something ends it."""
    try:
        planned.result()
    except KeyboardInterrupt:
        log_runtime.warning("interrupted: targets that gave no answer yet have no verdict")
    except WireError as error:
        log_runtime.warning("%s; targets that gave no answer before have no verdict", error)
    if planned.evidence_error is not None:
        log_runtime.warning("%s; packets that came later are missing", planned.evidence_error)


class _Evidence:
    """The evidence of a sweep: a file of the user's, or one that goes when nobody holds this any more."""

    def __init__(self, path: str | os.PathLike[str] | None) -> None:
        if path is None:
            folder = mkdtemp(prefix="ghostport-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            path = Path(folder, "evidence.pcapng")
        self.path = path

    def _frames(self, plan: Plan | None) -> Iterator[Frames]:
        # What is cut off is so because a disk was full, which has been said.
        return open_planned(self.path, plan, warn=lambda _: None)

    def pairs(self) -> Pairs:
        """Of the sweep's own probes alone."""
        plan = read_plan(self.path)
        return read_pairs(self._frames(plan), selection=Selection(), plan=plan)

    def packets(self, places: NDArray[np.int64]) -> dict[int, Packet]:
        """From IP on, as `sr` gives them."""
        # Places count frames in the order in which they were read for the pairs.
        return packets_at(self._frames(read_plan(self.path)), places, link=False)
