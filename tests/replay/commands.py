"""The command lines by which cases are recorded. Sweeps are slow on purpose: captures are read by people."""

from __future__ import annotations


def sweep(options: str) -> str:
    """A sweep whose evidence is the capture."""
    return f"ghostport sweep {options} --rate 200 --evidence capture.pcap -o sweep.jsonl {{targets}}"


def watched_sweep(options: str) -> str:
    """A sweep that tcpdump watches: evidence has what names a target, and here more than that matters."""
    return f"ghostport sweep {options} --rate 200 --evidence sweep.pcap -o sweep.jsonl {{targets}}"


def nmap(options: str, retries: int = 2) -> str:
    """A scan by nmap; `retries` at most."""
    return f"nmap -n -Pn {options} --reason -p401 --max-retries {retries} -oX nmap.xml {{targets}}"


def tcpdump(options: str) -> str:
    """A capture. It has a snapshot length: the ring has slots of that size, and few where they are large."""
    return f"tcpdump -Z root -n -U --immediate-mode {options} -w capture.pcap"


ON_THE_CABLE = tcpdump("-s 2048 --time-stamp-precision=nano -i gpv0")
"""In the prober's namespace, so that its kernel's own resets are seen."""

AT_THE_TARGETS = tcpdump("-s 2048 --time-stamp-precision=nano -i gpv1")
"""At the cable's other end: our own probes are not shown to taps on the interface that they leave by."""
