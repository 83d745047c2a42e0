"""The wire through the kernel's IP output: raw sockets out, a ring in.

For loopback, for devices without Ethernet, and on Ethernet where the kernel is to find the
neighbours. What leaves, and what does not, is told by `scanner.wire.kernel_output`.
"""

from __future__ import annotations

import numpy as np

from scanner.contracts import Batch, Sent
from scanner.model import WireError
from scanner.wire.at_once import SendsAtOnce
from scanner.wire.framer import Framer
from scanner.wire.kernel_output import KernelOutput
from scanner.wire.receive_ring import RingOptions
from scanner.wire.ring_wire import RingWire


class RawIP(SendsAtOnce, RingWire):
    """A `scanner.contracts.Wire` over the kernel's IP output on one interface, both versions.

    What the kernel would not let out is in `Sent` like a packet lost on its way, and counts as
    refused. Raises UsageError without CAP_NET_RAW, WireError where the interface is gone or down.
    """

    def __init__(self, interface: str, options: RingOptions | None = None) -> None:
        """Open the raw sockets and the receive ring."""
        super().__init__(interface, options)
        self._closed = False
        self._sent = 0
        self._refused = 0
        self._framer = Framer(interface, mtu=self._interface.mtu, link_type=self._interface.link_type)
        self._no_hops = np.zeros(6, dtype=np.uint8)
        try:
            self._output = KernelOutput(self._interface)
        except BaseException:
            self._receive_ring.close()
            raise

    def send(self, batch: Batch) -> Sent:
        """Send the first packets of the batch for which there is room; the rest counts as refused.

        Raises WireError where the interface is down or gone, UsageError for what is not IP or
        longer than the MTU.
        """
        if self._closed:
            raise WireError(f"the wire on {self._interface.name} is closed")
        frames = self._framer.frame(batch, self._no_hops)
        times, kept_in = self._output.send(frames[:, self._framer.header_length :], batch.ethertype)
        self._sent += len(times) - kept_in
        self._refused += len(frames) - len(times) + kept_in
        return Sent(frames=frames[: len(times)], times=times)

    def _counted(self) -> tuple[int, int]:
        return self._sent, self._refused

    def close(self) -> None:
        """Close all sockets; twice is fine."""
        self._closed = True
        self._receive_ring.close()
        self._output.close()
