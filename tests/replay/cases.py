"""All cases, in the order in which the index of pcaps/ has them."""

from __future__ import annotations

from tests.replay.case import Case
from tests.replay.hostile_cases import HOSTILE_CASES
from tests.replay.sweep_cases import SWEEP_CASES
from tests.replay.tool_cases import TOOL_CASES

CASES = (*SWEEP_CASES, *HOSTILE_CASES, *TOOL_CASES)


def case_named(name: str) -> Case:
    """The case of this name; LookupError where there is none."""
    for case in CASES:
        if case.name == name:
            return case
    raise LookupError(f"no case is named {name!r}")
