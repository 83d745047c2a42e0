"""The evidence of a sweep: the capture of what left and what came back, and the plan beside it.

The law: with both files, `ghostport` can say again, without a network, what it said of every
address. The capture is in the file as soon as it is handed over, so that even a sweep which
was killed leaves what it did; the plan is written before the first probe leaves, and once
more when the sweep has ended. This file does not know how a verdict comes about.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from scanner.capture.writer import CaptureWriter, PcapngWriter, PcapWriter, Received
from scanner.contracts import Frames, Sent
from scanner.core.book import AddressBook
from scanner.core.hosts import Hosts
from scanner.core.rules import RULE_KINDS, ReplyRules
from scanner.core.targets import parse_targets
from scanner.model import CaptureError, Protocol, UsageError

PLAN_FORMAT = "ghostport-plan/1"
MAX_PLAN = 16 << 20
"""Bytes that a plan may have."""

MOST_SOURCES = 1 << 10
"""Addresses that a sweep may have left from: of each, cookies are worked out on their own."""

_BYTE = 0xFF
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Byte = Annotated[int, msgspec.Meta(ge=0, le=_BYTE)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Zone = Annotated[int, msgspec.Meta(ge=1, le=(1 << 32) - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Key = Annotated[str, msgspec.Meta(pattern=r"\A([0-9a-f]{2}){1,64}\Z")]


class Evidence:
    """The capture of a sweep, as a file that grows.

    Args:
        path: the file, pcapng where its name ends so; what it held is lost.
        interfaces: name of each interface, and LINKTYPE_ value of its frames: one for all in a pcap.

    Raises:
        UsageError: the file cannot be written.
        CaptureError: it can, but there is no room.
    """

    def __init__(self, path: str | os.PathLike[str], interfaces: Sequence[tuple[str, int]]) -> None:
        try:
            # Unbuffered: each slice of a sweep is one large write already.
            self._stream = Path(path).open("wb", buffering=0)  # noqa: SIM115 - closed by close()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UsageError(
                f"{os.fspath(path)}: the evidence cannot be written: {reason}; name a file that can be"
            ) from None
        try:
            self._writer: CaptureWriter
            self._tells_interfaces = is_pcapng(path)
            if self._tells_interfaces:
                self._writer = PcapngWriter(self._stream, interfaces)
            else:
                self._writer = PcapWriter(self._stream, interfaces[0][1])
        except CaptureError:
            self._stream.close()
            raise

    def write(
        self,
        sent: Sequence[Sent] = (),
        received: Frames | None = None,
        selection: NDArray[np.int64] | None = None,
        interface: int = 0,
    ) -> None:
        """Append probes and received frames, merged by time.

        Args:
            sent: batches that the wire accepted.
            received: what it gave.
            selection: `(K,)` int64, which of those frames to keep; None for all.
            interface: which one they were on.

        Raises:
            CaptureError: now or in an earlier call there was no room; the file ends at a whole record.
        """
        groups: list[Sent | Received] = [*sent]
        if received is not None:
            groups.append(Received(received, selection))
        self._writer.write(groups, interface if self._tells_interfaces else 0)

    def close(self) -> None:
        """Close the file; twice is fine. Raises CaptureError where the disk says so only now."""
        try:
            self._stream.close()
        except OSError as error:
            raise CaptureError(
                f"{self._stream.name}: the capture cannot be written: {error.strerror or error}"
            ) from None

    def __enter__(self) -> Evidence:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class WrittenRules(msgspec.Struct, frozen=True, kw_only=True):
    """Reply rules of a probe as a plan holds them; see `core.rules.ReplyRules`.

    replies: the fields of each rule; which kind it is of, the protocol tells.
    """

    replies: list[dict[str, int | str]]
    set: Byte
    clear: Byte

    @staticmethod
    def of(rules: ReplyRules) -> WrittenRules:
        """Some rules, to be written."""
        replies = [msgspec.to_builtins(rule) for rule in rules.replies]
        return WrittenRules(replies=replies, set=rules.set, clear=rules.clear)

    def read(self, protocol: Protocol) -> ReplyRules:
        """The rules again. Raises ValueError where they are none."""
        for reply in self.replies:
            if any(isinstance(value, int) and not 0 <= value <= _BYTE for value in reply.values()):
                raise ValueError(f"a rule for {protocol} has a number above {_BYTE}, or below 0")
        replies = tuple(msgspec.convert(reply, RULE_KINDS[protocol]) for reply in self.replies)
        return ReplyRules(replies=replies, set=self.set, clear=self.clear)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep was asked to do, as far as reading its capture back depends on it.

    seed: of the order in which targets were probed.
    key: hexadecimal, of the cookies in the probes.
    ports: by protocol; a sweep probes each port of each protocol at each target.
    rules: of probes that are not the usual ones of their protocol.
    targets, excluded, no_route, silent, on_link: addresses, CIDRs or `first-last` ranges. `targets`
        are all that got a verdict; among them, `no_route` had no way out, `silent` answered no ping,
        and `on_link` were on a link of ours.
    sources: addresses that probes left from.
    retries: probes after the first, at most, for a target.
    wait: seconds that an answer may take.
    rate: probes a second, at most; None without a bound.
    started, ended: ISO 8601 in UTC.
    resolved: whether all of `on_link` were asked for their hardware address, so that silence means absence.
    complete: whether the sweep came to its end.
    interfaces: names of the interfaces that probes left by.
    zones: their numbers, by which link-local addresses are told apart and put in order.
    lent: those of them that have another's number: link-local addresses of our own, seen on loopback.
    """

    format: str = PLAN_FORMAT
    version: str
    seed: Count
    key: Key
    protocols: list[Protocol]
    ports: dict[Protocol, list[Port]]
    targets: list[str]
    excluded: list[str] = []
    no_route: list[str] = []
    silent: list[str] = []
    on_link: list[str] = []
    sources: list[str] = []
    retries: Count
    wait: Seconds
    rate: Seconds | None
    started: str
    ended: str | None = None
    resolved: bool = False
    complete: bool = False
    interfaces: list[str] = []
    rules: dict[Protocol, WrittenRules] = {}
    zones: dict[str, Zone] = {}
    lent: list[str] = []

    def hosts(self, texts: Iterable[str]) -> Hosts:
        """The addresses that some of its texts name. Raises UsageError for what is none."""
        return parse_targets(texts, self._zone_of)

    def reply_rules(self) -> dict[Protocol, ReplyRules]:
        """Rules of probes that are not the usual ones. Raises ValueError where they are none."""
        return {protocol: written.read(protocol) for protocol, written in self.rules.items()}

    def _zone_of(self, name: str) -> int:
        if name not in self.zones:
            msg = f"{name!r} is none of its zones"
            raise UsageError(msg)
        return self.zones[name]


def is_pcapng(capture_path: str | os.PathLike[str]) -> bool:
    """Whether a capture of that name is written as pcapng, and tells interfaces apart."""
    return os.fspath(capture_path).endswith(".pcapng")


def plan_path(capture_path: str | os.PathLike[str]) -> Path:
    """Where the plan of a capture is: beside it, with `.json` added to its name."""
    return Path(f"{os.fspath(capture_path)}.json")


def write_plan(capture_path: str | os.PathLike[str], plan: Plan) -> None:
    """Write the plan beside a capture, whole or not at all; an older one is replaced.

    Raises:
        CaptureError: that cannot be done; an older plan is still there.
    """
    path = plan_path(capture_path)
    data = msgspec.json.format(msgspec.json.encode(plan), indent=1) + b"\n"
    if len(data) > MAX_PLAN:
        raise CaptureError(f"{path}: the plan would have {len(data)} bytes, more than {MAX_PLAN}")
    # A name that nobody can have put in the way; os.replace needs it in the same folder.
    draft = path.with_name(f".{os.urandom(8).hex()}.ghostport")
    try:
        try:
            with draft.open("xb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CaptureError(f"{path}: the plan cannot be written: {reason}") from None


def read_plan(capture_path: str | os.PathLike[str]) -> Plan | None:
    """The plan beside a capture, None where there is none.

    Raises:
        CaptureError: it cannot be read, or is damaged.
    """
    path = plan_path(capture_path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_PLAN + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise CaptureError(f"{path}: the plan cannot be read: {reason}") from None
    if len(data) > MAX_PLAN:
        raise CaptureError(f"{path}: is not a plan: it has more than {MAX_PLAN} bytes")
    try:
        return _plan_untrusted(data)
    except CaptureError as error:
        raise CaptureError(f"{path}: {error}") from None


def _plan_untrusted(data: bytes) -> Plan:
    """The plan that JSON text holds; what its ranges and ports say has been looked at."""
    try:
        plan = msgspec.json.decode(data, type=Plan)
        if plan.format == PLAN_FORMAT:
            for texts in (
                plan.targets,
                plan.excluded,
                plan.no_route,
                plan.silent,
                plan.on_link,
                plan.sources,
            ):
                AddressBook(plan.hosts(texts).ipv6)
            plan.reply_rules()
    except RecursionError:
        raise CaptureError("is not a plan: it is nested too deep") from None
    except (ValueError, UsageError) as error:
        raise CaptureError(f"is not a plan, or damaged: {error}") from None
    if plan.format != PLAN_FORMAT:
        raise CaptureError(f"is not a plan that can be read: its format is not {PLAN_FORMAT}")
    sources = plan.hosts(plan.sources).size
    if sources > MOST_SOURCES:
        raise CaptureError(f"is damaged: it names {sources} sources, more than {MOST_SOURCES}")
    if set(plan.protocols) != set(plan.ports):
        raise CaptureError("is damaged: its protocols are not those of its ports")
    return plan
