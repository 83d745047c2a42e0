"""Where records go. A file is opened before anything is sent and takes its name when it is whole."""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, cast

from scanner.cli.behind import WriteBehind
from scanner.contracts import Format, Reporter
from scanner.model import GhostportError, Reason, State, UsageError, Verdict
from scanner.plugins import builtin
from scanner.reporters import write_all
from scanner.reporters.jsonl import JsonlReporter
from scanner.reporters.terminal import TerminalReporter
from scanner.reporters.text import TextReporter, remarked, shared_macs, summary
from scanner.result import Choice, Result, Tally, only_open, responders

if TYPE_CHECKING:
    from scanner.core.conversations import Conversations
    from scanner.plugins.registry import Plugins
    from scanner.reading import Reading

DONE = 0
INCOMPLETE = 4

CONVERSATION_FORMATS = ("text", "jsonl", "csv")
CHOICES: dict[str, Choice | None] = {"all": None, "open": only_open, "responders": responders}

FEW = 64
"""Answers that the table shows unasked; where there are more, it shows open ports."""


_PIECE = 1 << 20
_MOST_IN_MEMORY = 64 << 20


class OutputError(GhostportError):
    """Records could not be written where they were to go."""

    exit_code = INCOMPLETE


class Records:
    """The way out, for records and for what is said about them, as the command line wants it.

    With `-o FILE` records go to the file and a table of the responders to standard output; without, either
    the table or the records take standard output, and what is said goes where records do not.
    """

    def __init__(self, arguments: argparse.Namespace, plugins: Plugins | None = None) -> None:
        """Open the output. Raises UsageError where that cannot be written, or has no such format."""
        name: str | None = arguments.output
        self._name = None if name in {None, "-"} else name
        format_of = builtin.format_of if plugins is None else plugins.format_of
        self._format: str = arguments.format or ("text" if name is None else format_of(name))
        self._plugins = plugins
        self._declared = _declared(self._format, plugins)
        if getattr(arguments, "conversations", False) and self._format not in CONVERSATION_FORMATS:
            raise UsageError(
                f"--format {self._format}: conversations are written as {', '.join(CONVERSATION_FORMATS)}"
            )
        self._in_need: str | None = None
        self._show: str | None = arguments.show
        self._quiet = bool(arguments.quiet)
        self._records_on_stdout = self._name is None and (self._format != "text" or name == "-")
        self._talk = sys.stderr if self._records_on_stdout else sys.stdout
        self._target = None if self._name is None else _Target(self._name)

    def tell(self, lines: Iterable[str]) -> None:
        """Say something to people, unless they want quiet."""
        if not self._quiet:
            for line in lines:
                print(line, file=self._talk)
            self._talk.flush()

    def write(self, result: Result) -> None:
        """Write the records that were asked for, and tell people what there is.

        Raises:
            OutputError: the disk is full, say, and the records are on standard output instead; or a
                plugin's format failed, and they are JSON lines.
        """
        # Counted as they are written; going through all of them takes as long as writing them.
        if self._target is not None:
            self._write_file(self._target, lambda stream: self._write_to(stream, result))
        if self._records_on_stdout:
            self._write_to(sys.stdout.buffer, result)
        tally = result.tally()
        if not self._records_on_stdout and (self._target is None or not self._quiet):
            sys.stdout.flush()
            self._screen(result, tally)
        self.tell(summary(tally))
        self.tell(remarked(tally.notes, tally.hints))
        self.tell(shared_macs(tally.macs))
        if self._in_need is not None:
            raise OutputError(self._in_need)

    def write_conversations(self, conversations: Conversations, reading: Reading) -> None:
        """Write conversations in the place of records. Raises OutputError as `write`."""
        from scanner.reporters import conversations as formats  # noqa: PLC0415 - for those who ask

        kinds: dict[str, Callable[[IO[bytes]], Any]] = {
            "text": formats.ConversationTextReporter,
            "jsonl": formats.ConversationJsonlReporter,
            "csv": formats.ConversationCsvReporter,
        }

        def write(stream: IO[bytes]) -> None:
            writer = kinds[self._format](stream)
            writer.write(reading.talks())
            writer.close()

        sys.stdout.flush()
        if self._target is None:
            write(sys.stdout.buffer)
        else:
            self._write_file(self._target, write)
        self.tell([formats.summary(conversations.tally(), reading.ports)])

    def _write_file(self, target: _Target, write: Callable[[IO[bytes]], None]) -> None:
        try:
            write(target.stream)
            target.finish()
        except OSError as error:
            # What was learnt must not be lost with the disk.
            target.abandon()
            write(sys.stdout.buffer)
            msg = f"{self._name}: cannot be written: {error.strerror}; the records are on standard output"
            raise OutputError(msg) from None

    def _write_to(self, stream: IO[bytes], result: Result) -> None:
        choice = CHOICES[self._show or "all"]
        plugins = self._plugins
        if plugins is None or plugins.owner(self._declared).worker is None:
            _report(self._declared.reporter(stream), result, choice)
        elif not self._write_by_plugin(plugins, stream, result.verdicts(choice)):
            self._in_need = f"--format {self._format}: failed; the records are JSON lines instead"
            _report(JsonlReporter(stream), result, choice)

    def _write_by_plugin(self, plugins: Plugins, stream: IO[bytes], verdicts: Iterator[Verdict]) -> bool:
        """Whether a plugin's reporter wrote it all; what it wrote is put in its place when it is whole."""
        from tempfile import SpooledTemporaryFile  # noqa: PLC0415 - for plugins' formats alone

        reached = 0

        def counted() -> Iterator[Verdict]:
            nonlocal reached
            for verdict in verdicts:
                reached += 1
                yield verdict

        def report(draft: IO[bytes]) -> None:
            reporter = self._declared.reporter(draft)
            reporter.write(counted())
            reporter.close()

        with SpooledTemporaryFile(max_size=_MOST_IN_MEMORY) as draft:
            whole = plugins.run(
                plugins.owner(self._declared),
                f"format {self._format}",
                lambda: report(draft),
                lambda: reached,
            )
            if whole:
                draft.seek(0)
                while piece := draft.read(_PIECE):
                    write_all(stream, piece)
                stream.flush()
        return whole

    def _screen(self, result: Result, tally: Tally) -> None:
        """A table for people: what they asked to see, else open ports, and other answers while few."""
        answers = sum(
            count
            for (_, state, reason), count in tally.by_reason().items()
            if state is not State.DOWN and reason is not Reason.NO_RESPONSE
        )
        show = self._show or ("responders" if answers <= FEW else "open")
        # Who asked to see them gets them all, however many.
        draws = sys.stdout.isatty() and self._show is None
        reporter: Reporter = (TerminalReporter if draws else TextReporter)(sys.stdout.buffer)
        reporter.write(result.verdicts(CHOICES[show]))
        reporter.close()

    def __enter__(self) -> Records:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._target is not None:
            self._target.abandon()


class _Target:
    """A file that is written under another name, and put in its place when it is whole."""

    def __init__(self, name: str) -> None:
        path = Path(name)
        try:
            if path.exists() and not stat.S_ISREG(path.stat().st_mode):
                self._draft = None
                self.stream: IO[bytes] = path.open("wb")
            else:
                if path.exists():
                    path.open("ab").close()  # raises where it may not be written; changes nothing
                self._draft = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
                self.stream = cast("IO[bytes]", WriteBehind(self._draft.open("xb")))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            msg = f"{name}: cannot be written: {reason}; name another file with -o"
            raise UsageError(msg) from None
        self._path = path

    def finish(self) -> None:
        """All is written: flush, and give the file its name."""
        self.stream.close()
        if self._draft is not None:
            self._draft.replace(self._path)
            self._draft = None

    def abandon(self) -> None:
        """Remove what is half done; nothing where it is finished."""
        with contextlib.suppress(OSError):
            self.stream.close()
        if self._draft is not None:
            self._draft.unlink(missing_ok=True)
            self._draft = None


def _declared(name: str, plugins: Plugins | None) -> Format:
    """The format of that name. Raises UsageError where there is none."""
    declared = builtin.format_named(name)
    if declared is not None:
        return declared
    if plugins is None:
        raise UsageError(f"--format {name}: there is no such format; there are: {', '.join(builtin.FORMATS)}")
    return plugins.get(Format, name, "--format")


def _report(reporter: Reporter, result: Result, choice: Choice | None) -> None:
    result.report(reporter, choice)
    reporter.close()
