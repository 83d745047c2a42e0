"""Scapy fields of a line of NUT's protocol: a word, the words that are left, text, the end."""

from __future__ import annotations

from typing import Any

from scapy.compat import bytes_encode
from scapy.fields import Field
from scapy.packet import Packet

from scanner.scapy_extension.words import line_end, next_word, written


class _BytesField(Field[Any, Any]):
    """A field of as many bytes as there are; text and numbers are taken too."""

    def __init__(self, name: str, default: object) -> None:
        super().__init__(name, default, "s")

    def any2i(self, _pkt: Packet | None, x: object) -> object:
        """As bytes."""
        return None if x is None else bytes_encode(x)

    def i2repr(self, _pkt: Packet | None, x: object) -> str:
        """Escaped: it may come from the network."""
        return repr(x)


class NUTWordField(_BytesField):
    """A word, without its quotes; None where the line has no more words.

    quoted: it is written within quotes, needed or not.
    """

    __slots__ = ("_quoted",)

    def __init__(self, name: str, default: bytes | None = None, *, quoted: bool = False) -> None:
        super().__init__(name, default)
        self._quoted = quoted

    def getfield(self, _pkt: Packet, s: bytes) -> tuple[bytes, bytes | None]:
        """Take it off the line."""
        word, rest = next_word(s)
        return rest, word

    def addfield(self, _pkt: Packet, s: bytes, val: object) -> bytes:
        """Write it behind the words before."""
        return s if val is None else _joined(s, written(bytes_encode(val), quoted=self._quoted))


class NUTWordsField(_BytesField):
    """The words that are left, a list."""

    islist = 1

    def __init__(self, name: str) -> None:
        super().__init__(name, [])

    def any2i(self, _pkt: Packet | None, x: object) -> list[bytes]:
        """As bytes; one word for a list of one."""
        return [bytes_encode(word) for word in (x if isinstance(x, list | tuple) else [x])]

    def getfield(self, _pkt: Packet, s: bytes) -> tuple[bytes, list[bytes]]:
        """Take them off the line."""
        words = []
        word, s = next_word(s)
        while word is not None:
            words.append(word)
            word, s = next_word(s)
        return s, words

    def addfield(self, _pkt: Packet, s: bytes, val: list[bytes] | None) -> bytes:
        """Write them behind the words before."""
        for word in val or ():
            s = _joined(s, written(bytes_encode(word)))
        return s


class NUTTextField(_BytesField):
    """A whole line as it stands, without its end."""

    def getfield(self, _pkt: Packet, s: bytes) -> tuple[bytes, bytes]:
        """Take it off."""
        line, _ = line_end(s)
        text = line.rstrip(b"\r\n")
        return s[len(text) :], text

    def addfield(self, _pkt: Packet, s: bytes, val: object) -> bytes:
        """Write it."""
        return s + bytes_encode(val)


class NUTEndField(_BytesField):
    """What ends a line: a line feed, and whatever could not be read before it; empty where it is cut off."""

    def getfield(self, _pkt: Packet, s: bytes) -> tuple[bytes, bytes]:
        """Take it off."""
        end, rest = line_end(s)
        return rest, end

    def addfield(self, _pkt: Packet, s: bytes, val: object) -> bytes:
        """Write it."""
        return s + bytes_encode(val)


def _joined(line: bytes, word: bytes) -> bytes:
    return line + b" " + word if line else word
