"""The command line: the only place that prints. argv becomes a request, errors one line and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from scanner.cli.parser import lab_parser, parse
from scanner.model import GhostportError

INCOMPLETE = 4
INTERRUPTED = 130


def command() -> NoReturn:
    """`main`, as the whole of a process: what is said is flushed, what is to be done at exit is done.

    Taking the interpreter apart piece by piece, after a large sweep, would cost a tenth of a second.
    """
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    atexit._run_exitfuncs()  # as the interpreter does; it has no other name
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit code: 0 done, 2 bad input, 3 refused by scope, 4 incomplete."""
    words = list(sys.argv[1:] if argv is None else argv)
    # NumPy's BLAS would start a thread a core, which nothing here uses.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _prepare_outputs()
    try:
        code = _run(words)
        sys.stdout.flush()
    except GhostportError as error:
        return _say(str(error), error.exit_code)
    except MemoryError:
        return _say("out of memory; take fewer targets or ports at a time", INCOMPLETE)
    except BrokenPipeError:
        # Whoever read our output has gone.
        return INCOMPLETE
    except OSError as error:
        return _say(f"{error.filename or 'standard output'}: {error.strerror}", INCOMPLETE)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        _let_go_of_output()
    return code


def _say(fault: str, code: int) -> int:
    # A file's name may hold anything. Few of those who start this command see a fault.
    from scanner.reporters.text import printable  # noqa: PLC0415

    print(f"ghostport: {printable(fault)}", file=sys.stderr)
    return code


def _prepare_outputs() -> None:
    """See that whatever is said can be.

    In the place of an output that the caller closed comes nothing, else a file of ours would take it. What
    an output's encoding does not hold is escaped.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _let_go_of_output() -> None:
    """Flush it, or give it up: the interpreter's own flush at the end must not complain."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(words: list[str]) -> int:
    """Each command is imported when it is known to be the one, so that `--help` waits for none."""
    if words[:1] == ["lab"]:
        from scanner.lab.command import add_actions  # noqa: PLC0415

        lab = lab_parser()
        add_actions(lab)
        arguments = lab.parse_args(words[1:])
        code: int = arguments.run(arguments)
        return code
    arguments = parse(words)
    if arguments.command == "sweep":
        from scanner.cli.sweep import run_sweep  # noqa: PLC0415

        return run_sweep(arguments)
    if arguments.command == "plugins":
        from scanner.cli.plugins import run_plugins  # noqa: PLC0415

        return run_plugins(arguments)
    from scanner.cli.read import run_read  # noqa: PLC0415

    return run_read(arguments)
