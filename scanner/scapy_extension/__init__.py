"""What `conf.exts.load("ghostport")` brings into Scapy: sweeps, captures read by their rules, NUT's layers.

Scapy's loader imports the package `scanner` and calls its `scapy_ext`; nothing else is loaded before
`from scapy.contrib.ghostport import *`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scapy.config import ScapyExt

NAME = "ghostport"


def scapy_ext(ext: ScapyExt) -> None:
    """Say what there is; called by `scapy.config.ExtsManager.load`."""
    from importlib import metadata  # noqa: PLC0415 - a fiftieth of a second, for Scapy alone

    ext.config(name=NAME, version=metadata.version(NAME))  # type: ignore[no-untyped-call]
    ext.register(name=NAME, mode=ext.MODE.CONTRIB, path=Path(__file__).with_name("contrib.py"))  # type: ignore[no-untyped-call]
