"""Sets a scene in a lab that is up, and sees to it that there is still no way out."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Network, IPv6Network

from scanner.lab import Lab, listeners, namespaces
from tests.replay import carrier
from tests.replay.carrier import DEVICE
from tests.replay.helper import helper
from tests.replay.hosts6 import NETWORK6
from tests.replay.scenes import Scene

_DEVICES = (DEVICE, "gpx0", "gpx1", "gpb0")
_INNER = (IPv4Network("10.51.0.0/30"), IPv6Network("fd51::/64"))
_IPV6 = (IPv6Network("fd49::/64"), IPv6Network(NETWORK6))


@contextmanager
def scene_set(scene: Scene, lab: Lab) -> Iterator[None]:
    """The lab with what the scene adds, which goes with the lab."""
    with ExitStack() as stack:
        for namespace, lines, sysctls, rules in (
            (lab.prober, scene.prober, scene.prober_sysctls, scene.prober_rules),
            (lab.target, scene.target, scene.target_sysctls, scene.target_rules),
        ):
            if scene.carrier is not None:
                namespaces.ip_batch(namespace, [f"tuntap add dev {DEVICE} mode tun"])
            namespaces.set_sysctls(namespace, sysctls)
            namespaces.ip_batch(namespace, lines)
            if rules:
                namespaces.nft(namespace, rules)
        assert_isolated(lab)
        if scene.carrier is not None:
            for namespace, side in ((lab.prober, "prober"), (lab.target, "target")):
                command = [sys.executable, "-m", carrier.__name__, scene.carrier, side]
                stack.enter_context(helper(namespaces.exec_command(namespace, command), carrier.READY))
        if listening := [(host.address, 401) for host in scene.hosts if host.is_listening]:
            command = namespaces.exec_command(lab.target, [sys.executable, "-I", listeners.__file__])
            wanted = json.dumps({"tcp": listening, "udp": listening})
            stack.enter_context(helper(command, listeners.READY, wanted=wanted))
        yield


def assert_isolated(lab: Lab) -> None:
    """Raise UsageError where a packet could get out of the lab, with whatever a scene has added."""
    lab.assert_isolated(interfaces=_DEVICES, networks=(*_INNER, *_IPV6))
