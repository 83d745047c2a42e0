"""What the figures were taken on: without it they say little."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

PEERS = ("zmap", "nmap", "masscan", "trafgen", "tshark")

_VERSION = re.compile(r"\d+(?:\.\d+)+")


def machine() -> dict[str, str]:
    """Processor, kernel, load, and the versions of all that took part."""
    found = {
        "processor": f"{os.cpu_count()} × {_processor()}",
        "kernel": platform.release(),
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "python": platform.python_version(),
        **{package: version(package) for package in ("ghostport", "numpy", "scapy")},
    }
    for peer in PEERS:
        if shutil.which(peer):
            said = subprocess.run([peer, "--version"], capture_output=True, text=True, check=False)
            match = _VERSION.search(said.stdout + said.stderr)
            found[peer] = match[0] if match else "?"
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
