"""The lab: real hosts in network namespaces, with every verdict known beforehand.

Tests, the demo and benchmarks sweep it, and so may users. Two namespaces are joined by
one cable; neither has a way out, and the default namespace never sees an interface of
theirs. What each address does, and what a sweep must say of it, is declared in
`profiles` and `behaviours`; the kernel is told by `topology` and `ruleset`; `lab` builds
and removes. Only `namespaces`, `processes`, `listeners`, `nut` and `lab` touch the system.
"""

from __future__ import annotations

from scanner.lab.behaviours import Behaviour, Outcome, Responder
from scanner.lab.lab import Lab, Status
from scanner.lab.plan import Expectation, Plan
from scanner.lab.profiles import PROFILES, Place, Profile
from scanner.lab.truth import STATES, Truth

__all__ = [
    "PROFILES",
    "STATES",
    "Behaviour",
    "Expectation",
    "Lab",
    "Outcome",
    "Place",
    "Plan",
    "Profile",
    "Responder",
    "Status",
    "Truth",
]
