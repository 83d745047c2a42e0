"""Files: the formats in which captures come, and what happens to them on the way."""

from __future__ import annotations

from tests.replay.case import Case, Tool
from tests.replay.commands import ON_THE_CABLE, nmap
from tests.replay.hosts import BOTH, CLOSED, OPEN_TCP, OPEN_UDP, REFUSED_BY_ROUTER, REFUSED_BY_TARGET

_FEW = (OPEN_UDP[0], OPEN_TCP[0], CLOSED[0], REFUSED_BY_TARGET[0], REFUSED_BY_ROUTER[6])
_CABLE = ON_THE_CABLE.replace("capture.pcap", "cable.pcap")
_DUMPCAP = "dumpcap -q -i gpv0 -w {}.pcapng"


def _kept(name: str, shows: str, *finish: str, capture: str = _CABLE, partial: bool = False) -> Case:
    return Case(
        name=name,
        shows=shows,
        tool=Tool.NMAP,
        command=nmap("-sS -sU", retries=1),
        capture=capture,
        targets=_FEW,
        protocols=BOTH,
        finish=finish,
        partial=partial,
    )


_REWRITE = "python -m tests.replay.rewrite"

FILE_CASES = (
    _kept("big-endian-us", "A pcap file of a machine that puts the highest byte first; microseconds.",
          f"{_REWRITE} --order big --precision us cable.pcap capture.pcap"),
    _kept("big-endian-ns", "A pcap file of a machine that puts the highest byte first; nanoseconds.",
          f"{_REWRITE} --order big cable.pcap capture.pcap"),
    _kept("gzip", "Compressed by gzip.", "gzip -n cable.pcap", "mv cable.pcap.gz capture.pcap.gz"),
    _kept("gzip-pcapng", "A pcapng file compressed by gzip.",
          "gzip -n cable.pcapng", "mv cable.pcapng.gz capture.pcapng.gz", capture=_DUMPCAP.format("cable")),
    _kept("zstd", "Compressed by zstd.", "zstd -q cable.pcap -o capture.pcap.zst"),
    _kept("cut-record", "A file that ends in the middle of a packet, as of a full disk. What was read "
                        "counts.",
          "cp cable.pcap capture.pcap", "truncate -s 900 capture.pcap", partial=True),
    _kept("cut-record-header", "A file that ends in the middle of a packet's header.",
          "editcap -F nsecpcap -r cable.pcap capture.pcap 1-8", f"truncate -s -{70} capture.pcap",
          partial=True),
    _kept("cut-pcapng", "A pcapng file that ends in the middle of a block.",
          "cp cable.pcapng capture.pcapng", "truncate -s 1500 capture.pcapng", capture=_DUMPCAP.format(""
                                                                                                       "cable"),
          partial=True),
    _kept("cut-gzip", "A gzip file whose end is missing.", "gzip -n cable.pcap",
          "mv cable.pcap.gz capture.pcap.gz", "truncate -s 500 capture.pcap.gz", partial=True),
    _kept("merged", "Two captures, of two interfaces, one of them cooked, merged into one pcapng file.",
          "editcap -F pcapng -r cable.pcap one.pcapng 1-12",
          f"{_REWRITE} --link 0 cable.pcap bare.pcap",
          "editcap -F pcapng bare.pcap two.pcapng 1-12",
          "mergecap -w capture.pcapng one.pcapng two.pcapng"),
    _kept("sections", "A pcapng file of several sections: files put behind each other.",
          "editcap -F pcapng -r cable.pcap one.pcapng 1-10",
          "editcap -F pcapng cable.pcap two.pcapng 1-10",
          "sh -c 'cat one.pcapng two.pcapng > capture.pcapng'"),
    _kept("backwards", "The packets in reverse order: what counts is their time.",
          f"{_REWRITE} --reversed cable.pcap capture.pcap"),
    _kept("snapped", "60 bytes of each frame were kept: enough for the headers, not for all that was quoted.",
          "editcap -F nsecpcap -s 60 cable.pcap capture.pcap", partial=True),
)  # fmt: skip
