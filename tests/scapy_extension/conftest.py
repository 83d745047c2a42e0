"""Labs, as the lab's own tests have them."""

from __future__ import annotations

from tests.lab.conftest import lab, make_lab

__all__ = ["lab", "make_lab"]
