"""All cases, in the order in which the index of pcaps/ has them."""

from __future__ import annotations

from tests.replay.case import Case
from tests.replay.file_cases import FILE_CASES
from tests.replay.hostile_cases import HOSTILE_CASES
from tests.replay.interface_cases import INTERFACE_CASES
from tests.replay.ipv6_cases import IPV6_CASES
from tests.replay.ipv6_sweep_cases import IPV6_SWEEP_CASES
from tests.replay.link_cases import LINK_CASES
from tests.replay.sweep_cases import SWEEP_CASES
from tests.replay.tool_cases import TOOL_CASES
from tests.replay.traffic_cases import TRAFFIC_CASES
from tests.replay.tunnel_cases import TUNNEL_CASES

CASES = (
    *SWEEP_CASES,
    *IPV6_SWEEP_CASES,
    *INTERFACE_CASES,
    *HOSTILE_CASES,
    *TOOL_CASES,
    *IPV6_CASES,
    *TUNNEL_CASES,
    *LINK_CASES,
    *FILE_CASES,
    *TRAFFIC_CASES,
)


def case_named(name: str) -> Case:
    """The case of this name; LookupError where there is none."""
    for case in CASES:
        if case.name == name:
            return case
    raise LookupError(f"no case is named {name!r}")
