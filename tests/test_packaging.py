"""What is shipped: the wheel, its metadata, the public names, the floors, and the tidy top level."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())

TOP_LEVEL = {
    ".ci", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "pcaps", "pyproject.toml",
    "requirements", "scanner", "tests",
}  # fmt: skip


def python(*arguments: str, cwd: Path = ROOT) -> str:
    """Run this interpreter away from the checkout's own state; give its output, fail with its error."""
    run = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=100
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


# --- the wheel --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built offline from a copy, as a build in place would leave files behind."""
    setuptools_major = int(installed_version("setuptools").split(".")[0])
    if setuptools_major < 77:
        pytest.skip("needs setuptools 77 or later (make setup)")
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "scanner", checkout / "scanner", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", checkout / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    target = tmp_path_factory.mktemp("wheel")
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(target)!r})"
    python("-c", build, cwd=checkout)
    (built,) = target.glob("*.whl")
    return built


def read_from(wheel: Path, name: str) -> str:
    """One file of the wheel's .dist-info folder."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def metadata(wheel: Path) -> Message:
    return Parser().parsestr(read_from(wheel, "METADATA"))


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        shipped = {name for name in archive.namelist() if ".dist-info/" not in name}
    ours = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "scanner").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == ours
    assert "scanner/py.typed" in shipped


def test_scapys_extension_loader_finds_the_package(wheel: Path) -> None:
    assert read_from(wheel, "top_level.txt").split() == ["scanner"]


def test_the_wheel_brings_the_command_and_pytests_plugin(wheel: Path) -> None:
    entry_points = ConfigParser()
    entry_points.read_string(read_from(wheel, "entry_points.txt"))
    assert dict(entry_points["console_scripts"]) == {"ghostport": "scanner.cli:command"}
    assert dict(entry_points["pytest11"]) == {"ghostport": "scanner.pytest_plugin"}


def test_the_wheel_says_its_licence_and_python(wheel: Path) -> None:
    fields = metadata(wheel)
    assert fields["Name"] == "ghostport"
    assert fields["License-Expression"] == "GPL-2.0-or-later"
    assert fields.get_all("License-File") == ["LICENSE"]
    assert fields["Requires-Python"] == ">=3.11"
    assert "GNU GENERAL PUBLIC LICENSE" in read_from(wheel, "licenses/LICENSE")


def test_every_module_of_the_wheel_can_be_imported(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    walk = (
        "import importlib, pkgutil, sys; sys.path.insert(0, sys.argv[1]); import scanner\n"
        "for module in pkgutil.walk_packages(scanner.__path__, 'scanner.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "print(scanner.__file__)"
    )
    assert python("-I", "-c", walk, str(tmp_path), cwd=tmp_path).strip().startswith(str(tmp_path))


# --- one place for the version ----------------------------------------------------------------


def test_the_version_stands_in_one_place() -> None:
    version = PYPROJECT["project"]["version"]
    again = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "scanner").rglob("*.py")
        if re.search(rf"""["']{re.escape(version)}["']""", path.read_text())
    ]
    assert again == []


def test_the_changelog_speaks_of_this_version() -> None:
    headings = re.findall(r"^## .*$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert PYPROJECT["project"]["version"] in headings[0]


# --- requirements -----------------------------------------------------------------------------


def locked(name: str) -> dict[str, Requirement]:
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    pins = [Requirement(line.rstrip("\\ ")) for line in lines if line and line[0] not in " #"]
    return {canonicalize_name(pin.name): pin for pin in pins}


def assert_satisfied(declared: list[str], lock: dict[str, Requirement]) -> None:
    for requirement in map(Requirement, declared):
        pin = lock[canonicalize_name(requirement.name)]
        (version,) = [specifier.version for specifier in pin.specifier]
        assert requirement.specifier.contains(version), f"{pin} is not {requirement}: make lock"


def test_the_locks_hold_what_is_declared() -> None:
    runtime, dev = PYPROJECT["project"]["dependencies"], PYPROJECT["dependency-groups"]["dev"]
    assert_satisfied(runtime, locked("runtime.txt"))
    assert_satisfied(runtime + dev, locked("dev.txt"))


def test_the_locks_agree_on_versions() -> None:
    dev = locked("dev.txt")
    for name, pin in locked("runtime.txt").items():
        assert str(dev[name].specifier) == str(pin.specifier)


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_a_lock_names_no_host_and_no_path(name: str) -> None:
    for line in (ROOT / "requirements" / name).read_text().splitlines():
        assert not re.match(r"-|.*(://| @ )", line), line


# --- the code ---------------------------------------------------------------------------------


def test_a_floor_imports_only_the_floors_below_it() -> None:
    python(
        "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache", "--no-logo"
    )


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "scanner").rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_scapy_is_not_loaded_to_parse_a_command_line() -> None:
    loaded = python("-c", "import sys, scanner.cli; print('scapy' in sys.modules)")
    assert loaded.strip() == "False"


# --- the checkout -----------------------------------------------------------------------------


def test_the_top_level_is_tidy() -> None:
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    assert {Path(name).parts[0] for name in listing.stdout.splitlines()} <= TOP_LEVEL
