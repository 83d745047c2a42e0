"""The lab: real hosts in network namespaces, with every verdict known beforehand.

Tests, the demo and benchmarks sweep it, and so may users. Namespaces are joined by cables;
none has a way out, and the default namespace never sees an interface of theirs. What each
address does, and what a sweep must say of it, is declared in `profiles` and `behaviours`, and
worked out in `plan`; the kernel is told by `topology`, `routing` and `ruleset`; `lab` builds
and removes. Only `namespaces`, `processes`, `devices`, `joints`, `listeners`, `nut` and `lab`
touch the system.
"""

from __future__ import annotations

from scanner.lab.behaviours import Behaviour, Outcome, Responder
from scanner.lab.lab import Lab, Status
from scanner.lab.plan import Expectation, Plan
from scanner.lab.profile import Kind, Net, Place, Profile, Side, Way
from scanner.lab.profiles import PROFILES
from scanner.lab.truth import STATES, Truth

__all__ = [
    "PROFILES",
    "STATES",
    "Behaviour",
    "Expectation",
    "Kind",
    "Lab",
    "Net",
    "Outcome",
    "Place",
    "Plan",
    "Profile",
    "Responder",
    "Side",
    "Status",
    "Truth",
    "Way",
]
