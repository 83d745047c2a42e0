"""The scope of a test run: a file of what may be probed."""

from __future__ import annotations

from pathlib import Path

import pytest

from scanner.core.scope import Scope
from scanner.core.targets import parse_target_lines
from scanner.model import UsageError

MOST_BYTES = 16 << 20
"""A scope is looked through by people; this is far beyond."""


def read_scope(path: Path, name: str) -> Scope:
    """The scope that a file names: targets apart by white space, `#` begins a comment.

    Raises pytest.UsageError, one line that names the file.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise pytest.UsageError(f"--ghostport-scope {name}: is larger than {MOST_BYTES} bytes")
        allowed = parse_target_lines(data.decode("utf-8-sig").splitlines(), name)
    except UsageError as error:
        raise pytest.UsageError(f"--ghostport-scope {error}") from None
    except OSError as error:
        raise pytest.UsageError(f"--ghostport-scope {name}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise pytest.UsageError(f"--ghostport-scope {name}: is not a text file of targets") from None
    return Scope(allowed, outside=f"not in {name} (--ghostport-scope)")
