"""The nftables rules of a router's place, as text. Pure, and stateless: no connection tracking.

One verdict map a hook finds the rule of a packet's prefix in one look-up, so that a lab of many
behaviours is as fast as one of few.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scanner.lab.behaviours import (
    REWRITTEN_CODES,
    Hardware,
    Hook,
    loss_statement,
    rewriting_mark,
)
from scanner.lab.netplan import NetPlan
from scanner.lab.plan import Plan
from scanner.lab.profile import Side

BEHAVIOUR_TABLE = "behaviours"
HARDWARE_TABLE = "hardware"
LOSS_TABLE = "loss"

# The time to live is set once losses are decided, and before the kernel routes.
_PRIORITY = {Hook.PREROUTING: "mangle", Hook.INPUT: "filter", Hook.FORWARD: "filter", Hook.OUTPUT: "filter"}

_FAMILY = {4: "ip", 6: "ip6"}

# Hosts that drop or refuse all of IPv6 are still found on their link.
_ALL_BUT_DISCOVERY = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept; "
_PROBES_ALONE = {4: "", 6: "meta l4proto { tcp, udp } "}


def behaviour_rules(plan: Plan, side: Side) -> str:
    """Input for `nft -f`: what each place of a router's networks does."""
    nets = [net for net in plan.nets if side in net.sides]
    tables = []
    for version, family in _FAMILY.items():
        chains = list(_chains([net for net in nets if net.network.version == version], version))
        if version == 6 and chains:
            chains.append(_rewriting())
        tables.append(_table(family, BEHAVIOUR_TABLE, chains))
    if hardware := list(_hardware(nets)):
        tables.append(_table("netdev", HARDWARE_TABLE, hardware))
    return "".join(tables)


def loss_rules(percent: float, devices: Iterable[str]) -> str:
    """Input for `nft -f`: lose this share of all packets by these devices in each direction, 0 for none.

    ARP and neighbour discovery are spared. Replaces the rules of an earlier call in one transaction.
    """
    # Made first, as only what exists can be deleted.
    replace = f"table inet {LOSS_TABLE}\ndelete table inet {LOSS_TABLE}\n"
    if not percent:
        return replace
    drop = loss_statement(percent)
    names = ", ".join(sorted(devices))
    return replace + _table(
        "inet",
        LOSS_TABLE,
        [
            f"  chain to-target {{ type filter hook prerouting priority raw; {_ALL_BUT_DISCOVERY}"
            f"iifname {{ {names} }} {drop}; }}",
            f"  chain from-target {{ type filter hook postrouting priority raw; {_ALL_BUT_DISCOVERY}"
            f"oifname {{ {names} }} {drop}; }}",
        ],
    )


def _table(family: str, name: str, chains: Iterable[str]) -> str:
    return "\n".join([f"table {family} {name} {{", *chains, "}", ""])


def _chains(nets: Iterable[NetPlan], version: int) -> Iterator[str]:
    spans = [span for net in nets for span in net.spans]
    for hook in Hook:
        statements: dict[str, list[str]] = {}
        elements: list[str] = []
        for span in spans:
            if met := [rule.statement for rule in span.behaviour.rules if rule.hook is hook]:
                chain = f"{hook}-{span.behaviour.name}"
                statements[chain] = met
                elements.append(f"{span.prefix} : goto {chain}")
        if elements:
            yield from (f"  chain {chain} {{ {'; '.join(met)}; }}" for chain, met in statements.items())
            yield _base_chain(hook, elements, version)


def _base_chain(hook: Hook, elements: list[str], version: int) -> str:
    leaving = hook is Hook.OUTPUT
    return (
        f"  chain {hook} {{ type filter hook {hook} priority {_PRIORITY[hook]}; "
        f"{'' if leaving else _PROBES_ALONE[version]}{_FAMILY[version]} {'saddr' if leaving else 'daddr'} "
        f"vmap {{ {', '.join(elements)} }}; }}"
    )


def _rewriting() -> str:
    """ICMPv6 errors that nftables cannot send, made of those that it can; checksums follow."""
    statements = []
    for code, (kind, number) in REWRITTEN_CODES.items():
        answer = f"meta mark {rewriting_mark(code):#x} icmpv6 type destination-unreachable"
        statements.append(f"{answer} icmpv6 code set {number} icmpv6 type set {kind}; ")
    return f"  chain rewriting {{ type filter hook output priority mangle; {''.join(statements)}}}"


def _hardware(nets: Iterable[NetPlan]) -> Iterator[str]:
    """Give hosts hardware addresses of their own: the last four bytes of one are the IPv4 address.

    Frames to any of them are taken in. In those that leave the router's is replaced, in ARP replies (RFC 826)
    as well; but for hosts whom it answers for.
    """
    for net in nets:
        if not net.net.own_hardware:
            continue
        device, router = net.way.far_device, net.naming.router_mac
        proxied = [str(span.prefix) for span in net.spans if span.behaviour.hardware is Hardware.ROUTER]
        spared = [f"{side} {{ {', '.join(proxied)} }} accept;" for side in _SENDERS] if proxied else []
        frame, sender = "@ll,48,16 set 0x0200 @ll,64,32 set", "@nh,64,16 set 0x0200 @nh,80,32 set @nh,112,32"
        yield (
            f"  chain {device}-in {{ type filter hook ingress device {device} priority 0; "
            "ether daddr & ff:ff:00:00:00:00 == 02:00:00:00:00:00 meta pkttype set host; }"
        )
        yield " ".join(
            [
                f"  chain {device}-out {{ type filter hook egress device {device} priority 0;",
                f"ether saddr != {router} accept;",
                *spared,
                f"ip saddr {net.network} {frame} @nh,96,32;",
                f"arp operation reply arp saddr ip {net.network} {frame} @nh,112,32 {sender}; }}",
            ]
        )


_SENDERS = ("ip saddr", "arp operation reply arp saddr ip")
