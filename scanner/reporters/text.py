"""Plain text for people: an aligned table, and a line of counts for each port.

The law: what came from the network is escaped, so that it can neither move the cursor nor
end a line. No colours; a pipe is a good reader. The terminal's reporter takes its words
from here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import IO

from scanner.contracts import Format
from scanner.model import REASONS, Kind, ProberVerdict, Protocol, Reason, Service, State, Verdict
from scanner.reporters import pieces, write_all

HEADINGS = ("ADDRESS", "PORT", "STATE", "REASON", "RTT", "TTL", "RESPONDER", "SERVICE", "PROBER")
"""What `cells` gives."""

ABSENT = "-"

_PROBER = HEADINGS.index("PROBER")
_LEAST_WIDTHS = (15, 9, 13, 19, 9, 3, 15, 7, 0)
_RIGHT = frozenset((HEADINGS.index("RTT"), HEADINGS.index("TTL")))
_STATES = tuple(State)
_PROTOCOLS = tuple(Protocol)
_MOST_TEXT = 200
_MOST_SAID = 60
_LIKELY = 0.5
_ALL = 0  # no port has this number

_SUSPICIOUS = 8
"""Addresses of one hardware address; a host, or routers that stand in for each other, have fewer."""

_MOST_MACS = 3

MOST_PORTS = 32
"""Ports of a protocol that the summary counts each on its own."""


class TextReporter:
    """Writes records as a table, UTF-8, as many as there are; columns grow but never shrink.

    What else a record says stands in lines of its own under it.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._widths: tuple[int, ...] = _LEAST_WIDTHS
        self._headed = False

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Append records. Raises OSError as the stream does."""
        for piece in pieces(verdicts):
            rows = [cells(verdict) for verdict in piece]
            if all(row[_PROBER] == ABSENT for row in rows):
                rows = [row[:_PROBER] for row in rows]
            lengths = [max(map(len, column)) for column in zip(*rows, strict=True)]
            self._widths = (*map(max, self._widths, lengths), *self._widths[len(lengths) :])
            line = _layout(self._widths[: len(lengths)])
            lines = [
                f"{line.format(*row).rstrip()}\n{_remarked(verdict)}"
                for row, verdict in zip(rows, piece, strict=True)
            ]
            if not self._headed:
                self._headed = True
                lines.insert(0, f"{line.format(*HEADINGS).rstrip()}\n")
            write_all(self._stream, "".join(lines).encode())

    def close(self) -> None:
        """Flush; without records there is no table."""
        self._stream.flush()


TEXT = Format(name="text", summary="a table, as wide as it needs to be", reporter=TextReporter)


def ghostport_reporters() -> tuple[Format, ...]:
    """As `scanner.plugins.hooks` asks."""
    return (TEXT,)


def _layout(widths: Iterable[int]) -> str:
    """A line of the table, as `str.format` takes it."""
    return "  ".join(f"{{:{'>' if index in _RIGHT else '<'}{width}}}" for index, width in enumerate(widths))


def cells(verdict: Verdict) -> tuple[str, ...]:
    """A record in words, one for each of HEADINGS; a responder only where it is not the target."""
    elsewhere = verdict.responder is not None and verdict.responder != verdict.ip
    return (
        escape(verdict.ip),
        where(verdict.proto, verdict.port),
        verdict.state.value,
        verdict.reason.value,
        ABSENT if verdict.rtt_ms is None else milliseconds(verdict.rtt_ms),
        ABSENT if verdict.ttl is None else str(verdict.ttl),
        escape(verdict.responder) if elsewhere and verdict.responder else ABSENT,
        ABSENT if verdict.service is None else service_text(verdict.service),
        escape(verdict.prober) if isinstance(verdict, ProberVerdict) else ABSENT,
    )


def where(proto: Protocol, port: int) -> str:
    """A port in nmap's words; ICMP, which has none, alone."""
    return proto.value if proto is Protocol.ICMP else f"{port}/{proto}"


def remarks(verdict: Verdict) -> list[str]:
    """What else a record says, a line each: earlier replies, what is inferred, why there may be none."""
    said = [
        f"before: {step.state} ({step.reason}) from {escape(step.responder)}{_at(step.time)}"
        for step in verdict.superseded or ()
    ]
    labelled = (("note", verdict.note), ("hint", verdict.hint))
    return said + [f"{label}: {escape(text)}" for label, text in labelled if text]


def _at(time: str | None) -> str:
    return "" if time is None else f" at {escape(time)}"


def _remarked(verdict: Verdict) -> str:
    if verdict.superseded is None and verdict.note is None and verdict.hint is None:
        return ""
    return "".join(f"  {line}\n" for line in remarks(verdict))


def escape(text: str) -> str:
    r"""Text from the network as printable text on one line: `\x1b` for an escape, `\\` for a backslash.

    Whatever Unicode does not call printable is escaped: controls, line and paragraph ends,
    direction marks, surrogates. Of long text the first part is given.
    """
    kept = text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"
    if kept.isprintable() and "\\" not in kept:
        return kept
    return "".join(map(_escaped, kept))


def printable(text: str) -> str:
    """A line of ours that quotes what came from outside: all of it, and nothing but printable."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    return character if character == "\\" else _escaped(character)


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def service_text(service: Service) -> str:
    """What is known of a service in a few words: `nut Network UPS Tools upsd 2.8.0`.

    Where it says neither product nor version, the first of what it sent, in quotes. A question mark says
    that it is less likely than not.
    """
    name = service.name if service.confidence >= _LIKELY else f"{service.name}?"
    known = [word for word in (service.product, service.version) if word]
    said = [] if known or not service.evidence else [_quoted(service.evidence[:_MOST_SAID])]
    return " ".join([*map(escape, [name, *known]), *said])


def _quoted(value: str) -> str:
    return '"' + escape(value).replace('"', '\\"') + '"'


def milliseconds(rtt: float) -> str:
    """A round-trip time, to about three digits: `0.043 ms`, `1.24 ms`, `12.4 ms`, `124 ms`."""
    digits = 3 if rtt < 1 else 2 if rtt < 10 else 1 if rtt < 100 else 0
    return f"{rtt:.{digits}f} ms"


def summary(counts: Mapping[Kind, int]) -> list[str]:
    """A line for each protocol and port: how many targets have which state, and for which reasons.

    `401/tcp  500 open (syn-ack) · 512 filtered (no-response 256, admin-prohibited 256)`. States come in
    the order of `State`, reasons by their counts. Of more than MOST_PORTS ports there is one line for all.
    """
    asked = {proto: {port for of, port, *_ in counts if of is proto} for proto in _PROTOCOLS}
    ports: dict[tuple[Protocol, int], dict[State, Counter[Reason]]] = {}
    for (proto, port, state, reason), count in counts.items():
        if count:
            key = (proto, port if len(asked[proto]) <= MOST_PORTS else _ALL)
            ports.setdefault(key, {}).setdefault(state, Counter())[reason] += count
    names = {
        (proto, port): where(proto, port)
        if port != _ALL or proto is Protocol.ICMP
        else f"{proto}, {thousands(len(asked[proto]))} ports"
        for proto, port in ports
    }
    width = max(map(len, names.values()), default=0)
    return [
        f"{names[key].ljust(width)}  {' · '.join(_states(ports[key]))}"
        for key in sorted(ports, key=lambda key: (_PROTOCOLS.index(key[0]), key[1]))
    ]


def remarked(*remarks: Mapping[str, int]) -> list[str]:
    """A line for each remark: how many targets have it."""
    return [
        f"{text}: {thousands(count)} target{'' if count == 1 else 's'}"
        for counts in remarks
        for text, count in counts.items()
    ]


def shared_macs(macs: Counter[int]) -> list[str]:
    """A line for each hardware address that answered for suspiciously many addresses."""
    many = [(mac, count) for mac, count in macs.most_common(_MOST_MACS + 1) if count >= _SUSPICIOUS]
    lines = [
        f"{mac.to_bytes(6, 'big').hex(':')} answered for {thousands(count)} addresses: "
        "proxy ARP, or a host of many addresses"
        for mac, count in many[:_MOST_MACS]
    ]
    return [*lines, "and others did"] if len(many) > _MOST_MACS else lines


def _states(states: Mapping[State, Counter[Reason]]) -> list[str]:
    return [
        f"{thousands(states[state].total())} {state} ({_reasons(states[state])})"
        for state in _STATES
        if state in states
    ]


def _reasons(reasons: Counter[Reason]) -> str:
    if len(reasons) == 1:
        return next(iter(reasons)).value
    ordered = sorted(reasons, key=lambda reason: (-reasons[reason], REASONS.index(reason)))
    return ", ".join(f"{reason} {thousands(reasons[reason])}" for reason in ordered)


def thousands(count: int) -> str:
    """A number in groups of three digits: `64 012`."""
    return f"{count:,}".replace(",", " ")
