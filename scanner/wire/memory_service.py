"""TCP services of a simulated network: what each says to what it hears, in no time at all."""

from __future__ import annotations

from collections.abc import Callable

Service = Callable[[bytes], bytes | None]
"""Says something to what it has just heard; to the empty bytes, first of all, what it says unasked.
None: it hangs up. Empty: it is silent."""


class MemoryConversation:
    """A `scanner.contracts.Conversation` in memory. Silence is known at once."""

    def __init__(self, service: Service, address: str, port: int) -> None:
        """`service`: who is at the other end."""
        self._service: Service | None = service
        self._address = address
        self._port = port
        self._said = b""
        self._reply(b"")

    @property
    def address(self) -> str:
        """As `Conversation`."""
        return self._address

    @property
    def port(self) -> int:
        """As `Conversation`."""
        return self._port

    def say(self, data: bytes) -> None:
        """As `Conversation`."""
        self._reply(data)

    def hear(self, limit: int = 4096, quiet: float = 0.2) -> bytes:
        """As `Conversation`."""
        heard, self._said = self._said[:limit], self._said[limit:]
        return heard

    def line(self, limit: int = 4096) -> bytes:
        """As `Conversation`."""
        end = self._said.find(b"\n") + 1 or len(self._said)
        return self.hear(min(end, limit))

    def close(self) -> None:
        """As `Conversation`."""
        self._service = None

    def _reply(self, data: bytes) -> None:
        answer = None if self._service is None else self._service(data)
        if answer is None:
            self._service = None
        else:
            self._said += answer
