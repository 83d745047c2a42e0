"""`python -m scanner.lab up`: the lab without the rest of the command line."""

from __future__ import annotations

import argparse
import sys

from scanner.lab.command import add_actions
from scanner.model import GhostportError


def main(argv: list[str] | None = None) -> int:
    """Run one action and give its exit code; errors are one line on standard error."""
    parser = argparse.ArgumentParser(
        prog="python -m scanner.lab", description="Build a lab, use it, remove it."
    )
    add_actions(parser)
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except GhostportError as error:
        sys.stderr.write(f"lab: {error}\n")
        return error.exit_code
    return code


if __name__ == "__main__":
    sys.exit(main())
