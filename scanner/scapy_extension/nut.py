"""Network UPS Tools' protocol (RFC 9271) as Scapy layers: commands to TCP 3493, and what a server says.

    NUT(lines=[NUTCommand(verb="LIST", query="VAR", ups="demo")])

A segment may hold several lines, and the first or the last may be cut off. What the tables below do not
know is kept as words, or as text. Whatever the bytes, dissecting raises nothing and building gives them back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scapy.config import conf
from scapy.fields import ConditionalField, PacketListField
from scapy.layers.inet import TCP
from scapy.packet import Packet, bind_bottom_up, bind_layers

from scanner.scapy_extension.nut_fields import NUTEndField, NUTTextField, NUTWordField, NUTWordsField
from scanner.scapy_extension.words import next_word

NUT_PORT = 3493
GHOST_PORT = 401

MOST_LINES = 4096
"""Lines of a segment that are told apart; what follows is raw."""

_UPS, _VARIABLE, _VALUE = ("ups",), ("ups", "var"), ("ups", "var", "value")

QUERIES: dict[bytes, dict[bytes, tuple[str, ...]]] = {
    b"GET": {
        b"NUMLOGINS": _UPS,
        b"UPSDESC": _UPS,
        b"VAR": _VARIABLE,
        b"TYPE": _VARIABLE,
        b"DESC": _VARIABLE,
        b"CMDDESC": ("ups", "cmd"),
        b"TRACKING": ("id",),
    },
    b"LIST": {
        b"UPS": (),
        b"VAR": _UPS,
        b"RW": _UPS,
        b"CMD": _UPS,
        b"CLIENT": _UPS,
        b"ENUM": _VARIABLE,
        b"RANGE": _VARIABLE,
    },
    b"SET": {b"VAR": _VALUE, b"TRACKING": ("state",)},
}
"""Commands that say what they are about, and the fields of each."""

COMMANDS: dict[bytes, tuple[str, ...]] = {
    b"VER": (),
    b"NETVER": (),
    b"PROTVER": (),
    b"HELP": (),
    b"STARTTLS": (),
    b"USERNAME": ("username",),
    b"PASSWORD": ("password",),
    b"LOGIN": _UPS,
    b"ATTACH": _UPS,
    b"LOGOUT": (),
    b"DETACH": (),
    b"PRIMARY": _UPS,
    b"MASTER": _UPS,
    b"FSD": _UPS,
    b"INSTCMD": ("ups", "cmd", "parameter"),
}
"""The other commands, and the fields of each."""

ANSWERS: dict[bytes, tuple[str, ...]] = {
    b"OK": ("detail",),
    b"ERR": ("error",),
    b"BEGIN": ("list", "query"),
    b"END": ("list", "query"),
    b"UPS": ("ups", "value"),
    b"UPSDESC": ("ups", "value"),
    b"NUMLOGINS": ("ups", "logins"),
    b"VAR": _VALUE,
    b"RW": _VALUE,
    b"ENUM": _VALUE,
    b"DESC": _VALUE,
    b"CMDDESC": ("ups", "cmd", "value"),
    b"TYPE": _VARIABLE,
    b"CMD": ("ups", "cmd"),
    b"RANGE": ("ups", "var", "minimum", "maximum"),
    b"CLIENT": ("ups", "client"),
    b"ON": (),
    b"OFF": (),
    b"PENDING": (),
    b"SUCCESS": (),
}
"""First words of answers, and the fields of each; what begins otherwise is text: of VER, NETVER or HELP."""

_TOLD = frozenset((b"VER", b"NETVER", b"PROTVER", b"HELP"))
_ACKNOWLEDGED = frozenset(COMMANDS) - _TOLD
_LEAVING = frozenset((b"LOGOUT", b"DETACH"))
_TRACKING = frozenset((b"ON", b"OFF", b"PENDING", b"SUCCESS"))
_OPENING = (b"BEGIN", b"END")
_TLS_RECORDS = (b"\x14", b"\x15", b"\x16", b"\x17", b"\x18")  # RFC 8446, 5.1


def _upper(word: object) -> bytes:
    return word.upper() if isinstance(word, bytes) else b""


def _fields_of_command(packet: Packet) -> tuple[str, ...]:
    command = _upper(packet.getfieldval("verb"))
    if command not in QUERIES:
        return COMMANDS.get(command, ())
    query = _upper(packet.fields.get("query"))
    return ("query", *QUERIES[command].get(query, ()))


def _fields_of_answer(packet: Packet) -> tuple[str, ...]:
    kind = _upper(packet.getfieldval("kind"))
    fields = ANSWERS.get(kind, ())
    if kind in _OPENING:
        fields += QUERIES[b"LIST"].get(_upper(packet.fields.get("query")), ())
    return fields


_QUOTED = frozenset(("value", "minimum", "maximum"))


def _words(fields_of: Callable[[Packet], tuple[str, ...]], *names: str) -> list[ConditionalField]:
    """Fields that a line has where the tables say so."""

    def present(name: str) -> Callable[[Packet], bool]:
        return lambda packet: name in fields_of(packet)

    return [ConditionalField(NUTWordField(name, quoted=name in _QUOTED), present(name)) for name in names]


class _Line(Packet):
    """One line of a segment."""

    def extract_padding(self, s: bytes) -> tuple[bytes, bytes]:
        # What Scapy keeps of each line is all that followed it, which adds up.
        self.original = self.original[: len(self.original) - len(s)]
        return b"", s

    def mysummary(self) -> str:
        return repr(self.build().rstrip(b"\r\n"))[2:-1]


class NUTCommand(_Line):
    """What a client says in one line. `more` are words that no command of this name has."""

    name = "NUT command"
    fields_desc = [  # noqa: RUF012 - Scapy's metaclass makes of it what it needs
        NUTWordField("verb", b"VER"),
        *_words(_fields_of_command, "query", "ups", "var", "cmd", "value", "parameter", "id", "state"),
        *_words(_fields_of_command, "username", "password"),
        NUTWordsField("more"),
        NUTEndField("end", b"\n"),
    ]


class NUTAnswer(_Line):
    """What a server says in one line that begins with a word it is known by."""

    name = "NUT answer"
    fields_desc = [  # noqa: RUF012
        NUTWordField("kind", b"OK"),
        *_words(_fields_of_answer, "list", "query", "ups", "var", "cmd", "value", "minimum", "maximum"),
        *_words(_fields_of_answer, "logins", "client", "detail", "error"),
        NUTWordsField("more"),
        NUTEndField("end", b"\n"),
    ]


class NUTText(_Line):
    """Any other line of a server: a version, or the commands that it knows."""

    name = "NUT text"
    fields_desc = [NUTTextField("text", b""), NUTEndField("end", b"\n")]  # noqa: RUF012


def _more(lines: Sequence[object], cur: object, remain: bytes) -> bool:
    return bool(remain) and len(lines) + (cur is not None) < MOST_LINES


def _next_command(
    _pkt: Packet, lines: Sequence[object], cur: Packet | None, remain: bytes
) -> type[Packet] | None:
    return NUTCommand if _more(lines, cur, remain) else None


def _next_answer(
    _pkt: Packet, lines: Sequence[object], cur: Packet | None, remain: bytes
) -> type[Packet] | None:
    if not _more(lines, cur, remain):
        return None
    return NUTAnswer if _upper(next_word(remain)[0]) in ANSWERS else NUTText


def _is_tls(data: bytes | None) -> bool:
    """What comes after STARTTLS is none of ours."""
    return data is not None and data[:1] in _TLS_RECORDS and data[1:2] == b"\x03"


class _Lines(Packet):
    """A segment's lines."""

    @classmethod
    def tcp_reassemble(
        cls, data: bytes, _metadata: dict[str, Any], _session: dict[str, Any]
    ) -> Packet | None:
        """Whole lines, and lists up to their end, for Scapy's TCPSession and StreamSocket."""
        unfinished = data.startswith(b"BEGIN LIST ") and b"\nEND LIST " not in data
        return cls(data) if data.endswith(b"\n") and not unfinished else None

    def mysummary(self) -> str:
        lines: list[Packet] = self.lines
        more = f" (+{len(lines) - 1} lines)" if len(lines) > 1 else ""
        return f"{self.name} {lines[0].mysummary() if lines else ''}{more}".rstrip()


class NUT(_Lines):
    """Commands of a client."""

    name = "NUT"
    fields_desc = [  # noqa: RUF012
        PacketListField("lines", [], next_cls_cb=_next_command, max_count=MOST_LINES)
    ]

    # Scapy looks for this among each class's own names alone.
    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *_args: object, **_kwargs: object) -> type[Packet]:
        """Lines, unless they are encrypted."""
        return conf.raw_layer if _is_tls(_pkt) else cls


class NUTResponse(_Lines):
    """What a server says to them."""

    name = "NUTResponse"
    fields_desc = [  # noqa: RUF012
        PacketListField("lines", [], next_cls_cb=_next_answer, max_count=MOST_LINES)
    ]

    # Scapy looks for this among each class's own names alone.
    @classmethod
    def dispatch_hook(cls, _pkt: bytes | None = None, *_args: object, **_kwargs: object) -> type[Packet]:
        """Lines, unless they are encrypted."""
        return conf.raw_layer if _is_tls(_pkt) else cls

    def answers(self, other: Packet) -> int:
        """Whether the first line here is an answer to the first command there."""
        if not isinstance(other, NUT) or not other.lines or not self.lines:
            return 0
        asked, said = other.lines[0], self.lines[0]
        command = _upper(asked.verb)
        if isinstance(said, NUTText):
            return int(command in (_LEAVING if said.text.startswith(b"Goodbye") else _TOLD))
        kind, query = _upper(said.kind), _upper(asked.query)
        about = (asked.ups, asked.var, asked.cmd) == (said.ups, said.var, said.cmd)
        if kind == b"BEGIN":
            agreed = command == b"LIST" and query == _upper(said.query) and about
        elif kind in _TRACKING:
            agreed = command == b"GET" and query == b"TRACKING"
        elif kind == b"OK":
            agreed = command == b"SET" or command in _ACKNOWLEDGED
        else:
            agreed = kind == b"ERR" or (command == b"GET" and kind == query and about)
        return int(agreed)


for _port in (GHOST_PORT, NUT_PORT):
    bind_bottom_up(TCP, NUT, dport=_port)
    bind_bottom_up(TCP, NUTResponse, sport=_port)
# What is built without a port goes to NUT's own.
bind_layers(TCP, NUT, dport=NUT_PORT)
bind_layers(TCP, NUTResponse, sport=NUT_PORT)
