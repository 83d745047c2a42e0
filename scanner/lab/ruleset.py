"""The nftables rules of the target namespace, as text. Pure, and stateless: no connection tracking.

One verdict map a hook finds the rule of a packet's prefix in one look-up, so that a lab of many
behaviours is as fast as one of few.
"""

from __future__ import annotations

from collections.abc import Iterator

from scanner.lab.behaviours import Hook, loss_statement
from scanner.lab.profiles import Profile
from scanner.lab.topology import TARGET_INTERFACE

BEHAVIOUR_TABLE = "behaviours"
LOSS_TABLE = "loss"

# The time to live is set once losses are decided, and before the kernel routes.
_PRIORITY = {Hook.PREROUTING: "mangle", Hook.INPUT: "filter", Hook.FORWARD: "filter", Hook.OUTPUT: "filter"}


def behaviour_rules(profile: Profile) -> str:
    """Input for `nft -f`: what each place of the profile does."""
    return "\n".join([f"table ip {BEHAVIOUR_TABLE} {{", *_chains(profile), "}", ""])


def loss_rules(percent: float) -> str:
    """Input for `nft -f`: lose this share of all packets on the cable in each direction, 0 for none.

    Replaces the rules of an earlier call in one transaction.
    """
    # Made first, as only what exists can be deleted.
    replace = f"table ip {LOSS_TABLE}\ndelete table ip {LOSS_TABLE}\n"
    if not percent:
        return replace
    drop = loss_statement(percent)
    return (
        f"{replace}table ip {LOSS_TABLE} {{\n"
        f"  chain to-target {{ type filter hook prerouting priority raw; "
        f"iifname {TARGET_INTERFACE} {drop}; }}\n"
        f"  chain from-target {{ type filter hook postrouting priority raw; "
        f"oifname {TARGET_INTERFACE} {drop}; }}\n"
        "}\n"
    )


def _chains(profile: Profile) -> Iterator[str]:
    for hook in Hook:
        statements: dict[str, list[str]] = {}
        elements: list[str] = []
        for place in profile.places:
            if met := [rule.statement for rule in place.behaviour.rules if rule.hook is hook]:
                chain = f"{hook}-{place.behaviour.name}"
                statements[chain] = met
                elements.append(f"{place.prefix} : goto {chain}")
        if elements:
            yield from (f"  chain {chain} {{ {'; '.join(met)}; }}" for chain, met in statements.items())
            yield _base_chain(hook, elements)


def _base_chain(hook: Hook, elements: list[str]) -> str:
    side = "saddr" if hook is Hook.OUTPUT else "daddr"
    return (
        f"  chain {hook} {{ type filter hook {hook} priority {_PRIORITY[hook]}; "
        f"ip {side} vmap {{ {', '.join(elements)} }}; }}"
    )
