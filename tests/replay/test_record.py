"""The recorder's own conduct, as far as it can be seen without a lab."""

from __future__ import annotations

import re
import struct

from tests.replay import record
from tests.replay.case import PCAPS
from tests.replay.cases import CASES
from tests.replay.origin import without_origin
from tests.replay.readme import index


def test_it_needs_root_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    assert record.main([]) == 2
    assert capsys.readouterr().err == "record: building a lab takes root; run: sudo make pcaps\n"


def test_an_unknown_case_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("os.geteuid", lambda: 0)

    assert record.main(["no-such-case"]) == 2
    assert capsys.readouterr().err == "record: no case is named 'no-such-case'\n"


def test_what_a_capture_tells_of_the_machine_is_blanked():
    option = struct.pack("=HH8s", 3, 5, b"Linux")
    section = struct.pack("=IIIHHq", 0x0A0D0D0A, 44, 0x1A2B3C4D, 1, 0, -1) + option
    section += struct.pack("=HHI", 0, 0, 44)
    packet = struct.pack("=III4sI", 3, 20, 4, b"\x03\x00\x05\x00", 20)

    blanked = without_origin(section + packet)

    assert blanked == section.replace(b"Linux", b" " * 5) + packet


def test_the_index_has_every_case():
    text = (PCAPS / "README.md").read_text()

    assert text == index(CASES)
    assert re.findall(r"^\| \[(.+?)\]", text, re.MULTILINE) == [case.name for case in CASES]
