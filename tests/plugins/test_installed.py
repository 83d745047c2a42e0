"""Where plugins are found: distributions on the path, files and modules."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from zipfile import ZipFile

import pytest

from scanner.model import UsageError
from scanner.plugins.installed import GROUP, Found, any_installed, named


def distribution(folder, group: str, info: str = "some-1.0.dist-info") -> None:
    (folder / info).mkdir()
    (folder / info / "METADATA").write_text("Metadata-Version: 2.1\nName: some\nVersion: 1.0\n")
    (folder / info / "entry_points.txt").write_text(f"[console_scripts]\nx = y:z\n\n[{group}]\nmine = mine\n")


@pytest.mark.parametrize(
    ("group", "there"),
    [("ghostport", True), (" ghostport ", False), ("ghostports", False), ("pytest11", False)],
)
@pytest.mark.parametrize("info", ["some-1.0.dist-info", "some.egg-info"])
def test_the_quick_look_agrees_with_the_long_one(tmp_path, monkeypatch, group, there, info):
    distribution(tmp_path, group, info)
    assert any_installed([str(tmp_path)]) is there
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert any_installed() is there
    assert bool(metadata.entry_points(group=GROUP)) is there


def test_places_that_are_none(tmp_path):
    assert not any_installed([str(tmp_path), str(tmp_path / "missing")])
    (tmp_path / "file.dist-info").write_text("")
    assert not any_installed([str(tmp_path)])


def test_into_an_archive_the_long_look_is_needed(tmp_path):
    with ZipFile(tmp_path / "x.zip", "w"):
        pass
    assert any_installed([str(tmp_path / "x.zip")])


def test_a_name_means_an_installed_one_a_file_or_a_module(tmp_path, monkeypatch):
    installed = Found("mine", lambda: None, "mine_module", "dist", "1")
    assert named("mine", [installed]) is installed
    (tmp_path / "other.py").write_text("x = 7\n")
    by_path = named(str(tmp_path / "other.py"), [installed])
    assert (by_path.name, by_path.load().x) == ("other", 7)  # type: ignore[attr-defined]
    assert named("json", []).load() is sys.modules["json"]
    monkeypatch.chdir(tmp_path)
    assert named("./other.py", []).name == "other"


@pytest.mark.parametrize("name", ["no_such_module", "-x", "a b", "1.2", ""])
def test_whatever_is_none_of_these(name):
    with pytest.raises(UsageError, match=r"neither an installed plugin \(mine\) nor a module"):
        named(name, [Found("mine", lambda: None, "mine")])


def test_a_sweep_without_plugins_imports_nothing_for_them():
    code = (
        "import sys, scanner.cli.sweep, scanner.cli.read\n"
        "from scanner.plugins.installed import any_installed; any_installed()\n"
        "print({'pluggy', 'importlib.metadata', 'scanner.plugins.registry'} & {*sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
