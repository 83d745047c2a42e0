"""Scenes: what is added to the lab for a case, so that probes travel another way or meet other hosts.

A case with a scene has a lab of its own, so nothing need be undone. Devices that this kernel lacks (it has no
802.1Q, GRE, IP-in-IP, MPLS or PPP) are played by two carriers, one at each end of the cable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scanner.lab.topology import PROBER, PROBER_INTERFACE, ROUTER, TARGET_INTERFACE
from tests.replay.carrier import DEVICE
from tests.replay.encapsulation import Encapsulation
from tests.replay.hosts6 import HOSTS6, NETWORK6, Host6, rules6

_LAB = "10.50.0.0/22"
INNER_PROBER, INNER_ROUTER = "10.51.0.1", "10.51.0.2"
PROBER6, ROUTER6 = "fd49::1", "fd49::2"
LINK_LOCAL_PROBER, LINK_LOCAL_ROUTER = "fe80::49:1", "fe80::49:2"
INNER_PROBER6, INNER_ROUTER6 = "fd51::1", "fd51::2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is added.

    words: how probes travel, for whoever reads the case.
    prober, target: lines for ip(8) in each place; sysctls come first, by device where they speak of one.
    prober_rules, target_rules: nftables.
    carrier: what carriers at both ends play.
    prober_addresses: from which probes may leave. router: who refuses on the way.
    hosts: those with IPv6 addresses.
    """

    words: str
    prober: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    prober_sysctls: Mapping[str, str] = field(default_factory=dict)
    target_sysctls: Mapping[str, str] = field(default_factory=dict)
    prober_rules: str = ""
    target_rules: str = ""
    carrier: Encapsulation | None = None
    prober_addresses: tuple[str, ...] = (str(PROBER),)
    router: str = str(ROUTER)
    hosts: tuple[Host6, ...] = ()


def _hosts_commands() -> tuple[str, ...]:
    """Lines for ip(8) that give the target place its IPv6 hosts, and a way by which to pass packets on."""
    return (
        "link add gpx0 type bridge",
        "link set gpx0 up",
        *(f"addr add {host.address}/128 dev lo nodad" for host in HOSTS6 if host.is_local),
        f"route add blackhole {NETWORK6}",
        *(f"route add {host.address}/128 dev gpx0" for host in HOSTS6 if host.is_forwarded),
    )


_FORWARDS_IPV6 = {
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv6.icmp.ratelimit": "0",
    # For the device that is still to be made.
    "net.ipv6.conf.default.disable_ipv6": "0",
}


def _ipv6_on(device: str) -> dict[str, str]:
    settings = {"disable_ipv6": "0", "accept_dad": "0", "router_solicitations": "0", "addr_gen_mode": "1"}
    return {f"net.ipv6.conf.{device}.{name}": value for name, value in settings.items()}


IPV6 = Scene(
    words="over IPv6: both ends of the cable have addresses of `fd49::/64`, and link-local ones, the hosts "
    f"are those of `{NETWORK6}`",
    prober=(
        f"addr add {PROBER6}/64 dev {PROBER_INTERFACE} nodad",
        f"addr add {LINK_LOCAL_PROBER}/64 dev {PROBER_INTERFACE} nodad",
        f"route add {NETWORK6} via {ROUTER6}",
    ),
    target=(
        f"addr add {ROUTER6}/64 dev {TARGET_INTERFACE} nodad",
        f"addr add {LINK_LOCAL_ROUTER}/64 dev {TARGET_INTERFACE} nodad",
        *_hosts_commands(),
    ),
    prober_sysctls=_ipv6_on(PROBER_INTERFACE),
    target_sysctls={**_ipv6_on(TARGET_INTERFACE), **_FORWARDS_IPV6},
    target_rules=rules6(HOSTS6),
    prober_addresses=(PROBER6, LINK_LOCAL_PROBER),
    router=ROUTER6,
    hosts=HOSTS6,
)

_WORDS = {
    Encapsulation.VLAN: "in an 802.1Q VLAN, 401",
    Encapsulation.QINQ: "in two VLAN tags, 802.1ad 100 and 802.1Q 401",
    Encapsulation.PRIORITY_TAG: "with 802.1Q priority tags, which name no VLAN",
    Encapsulation.MPLS: "behind two MPLS labels",
    Encapsulation.PPPOE: "in a PPPoE session",
    Encapsulation.GRE: "in a GRE tunnel",
    Encapsulation.GRE_KEYED: "in a GRE tunnel with key and sequence numbers",
    Encapsulation.GRETAP: "in a GRE tunnel that carries Ethernet frames",
    Encapsulation.IPIP: "in an IPv4 tunnel (IP in IP)",
    Encapsulation.SIT: "in an IPv4 tunnel that carries IPv6 (6in4)",
    Encapsulation.IPV4_IN_IPV6: "in an IPv6 tunnel that carries IPv4 (4in6)",
}


def carried(kind: Encapsulation) -> Scene:
    """IPv4 by carriers."""
    return Scene(
        words=f"{_WORDS[kind]}, played by a program at each end of the cable",
        prober=(
            f"addr add {INNER_PROBER}/30 dev {DEVICE}",
            f"link set {DEVICE} mtu 1400 up",
            f"route replace {_LAB} dev {DEVICE} src {INNER_PROBER}",
        ),
        target=(
            f"addr add {INNER_ROUTER}/30 dev {DEVICE}",
            f"link set {DEVICE} mtu 1400 up",
        ),
        carrier=kind,
        prober_addresses=(INNER_PROBER,),
        router=INNER_ROUTER,
    )


def carried6(kind: Encapsulation) -> Scene:
    """IPv6 by carriers."""
    return Scene(
        words=f"{_WORDS[kind]}, played by a program at each end of the cable",
        prober=(
            f"addr add {INNER_PROBER6}/64 dev {DEVICE} nodad",
            f"link set {DEVICE} mtu 1400 up",
            f"route add {NETWORK6} dev {DEVICE}",
        ),
        target=(
            f"addr add {INNER_ROUTER6}/64 dev {DEVICE} nodad",
            f"link set {DEVICE} mtu 1400 up",
            *_hosts_commands(),
        ),
        prober_sysctls=_ipv6_on(DEVICE),
        target_sysctls={**_ipv6_on(DEVICE), **_FORWARDS_IPV6},
        target_rules=rules6(HOSTS6),
        carrier=kind,
        prober_addresses=(INNER_PROBER6,),
        router=INNER_ROUTER6,
        hosts=HOSTS6,
    )


def _vxlan(near: str, far: str) -> str:
    return f"link add gpx1 type vxlan id 401 local {near} remote {far} dstport 4789"


def vxlan(mtu: int = 1450) -> Scene:
    """IPv4 by VXLAN. Where packets of the MTU do not fit outside, the kernel cuts them there."""
    return Scene(
        words="in a VXLAN, 401, of the kernel's own devices",
        prober=(
            _vxlan(str(PROBER), str(ROUTER)),
            f"addr add {INNER_PROBER}/30 dev gpx1",
            f"link set gpx1 mtu {mtu} up",
            f"route replace {_LAB} via {INNER_ROUTER} src {INNER_PROBER}",
        ),
        target=(
            _vxlan(str(ROUTER), str(PROBER)),
            f"addr add {INNER_ROUTER}/30 dev gpx1",
            f"link set gpx1 mtu {mtu} up",
        ),
        prober_addresses=(INNER_PROBER,),
        router=INNER_ROUTER,
    )


BRIDGED = Scene(
    words="through a bridge of the prober's own, on which every frame is seen twice",
    prober=(
        "link add gpb0 type bridge forward_delay 0",
        f"addr flush dev {PROBER_INTERFACE}",
        f"link set {PROBER_INTERFACE} master gpb0",
        "link set gpb0 up",
        f"addr add {PROBER}/24 dev gpb0",
        f"route replace {_LAB} via {ROUTER}",
    ),
)

LOGGED = Scene(
    words="while nftables logged all IP packets to group 401, from which tcpdump took them",
    prober_rules="table ip logged {\n"
    "chain out { type filter hook output priority 0; log group 401 snaplen 200 queue-threshold 1; }\n"
    "chain in { type filter hook prerouting priority 0; log group 401 snaplen 200 queue-threshold 1; }\n}\n",
)

SECOND_PROBER = "10.49.0.3"
TWO_PROBERS = Scene(
    words=f"by two probers on one link, of which {SECOND_PROBER} is refused by a firewall",
    prober=(f"addr add {SECOND_PROBER}/24 dev {PROBER_INTERFACE}",),
    target_rules="table ip second {\nchain in { type filter hook prerouting priority raw; "
    f"ip saddr {SECOND_PROBER} ip daddr {_LAB} drop; }}\n}}\n",
    prober_addresses=(str(PROBER), SECOND_PROBER),
)

FAST_OPEN = Scene(
    words="to kernels that take data with a SYN (TCP Fast Open without a cookie)",
    target_sysctls={"net.ipv4.tcp_fastopen": "1539"},
)
