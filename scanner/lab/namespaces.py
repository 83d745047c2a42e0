"""Network namespaces: made, entered, told what to do, removed. The commands of iproute2 and nftables do it.

The law: every function names the namespace it works in; the default namespace is never
changed. Errors are UsageErrors, one line with what the command said.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scanner.model import UsageError

_MOUNTS = Path("/var/run/netns")
"""Where ip-netns(8) keeps the names."""

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_IFA_F_TENTATIVE = 0x40  # linux/if_addr.h
_POLL = 0.005
"""Seconds between two looks at something that is about to happen."""

_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}  # linux/capability.h


def require_privilege() -> None:
    """Raise UsageError unless this process may make namespaces."""
    held = _effective_capabilities()
    if os.geteuid() != 0 or not all(held >> bit & 1 for bit in _CAPABILITIES.values()):
        raise UsageError(
            f"the lab needs root with {' and '.join(_CAPABILITIES)}, to make network namespaces; "
            "run it with sudo, a container with --privileged"
        )


def program(name: str, package: str) -> str:
    """The path of a program, also from sbin; a UsageError names the Debian package that has it."""
    folders = (os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin")
    path = shutil.which(name, path=os.pathsep.join(folders))
    if path is None:
        raise UsageError(f"the lab needs {name}, which is not here; on Debian: apt-get install {package}")
    return path


def ip_program() -> str:
    """The path of ip(8), or UsageError."""
    return program("ip", "iproute2")


def nft_program() -> str:
    """The path of nft(8), or UsageError."""
    return program("nft", "nftables")


def has_ipv6() -> bool:
    """Whether this kernel has IPv6."""
    return Path("/proc/sys/net/ipv6").exists()


def exists(namespace: str) -> bool:
    """Whether there is a namespace of this name, or the remains of one."""
    return (_MOUNTS / namespace).exists()


def names() -> tuple[str, ...]:
    """The names of all namespaces."""
    return tuple(sorted(path.name for path in _MOUNTS.iterdir())) if _MOUNTS.is_dir() else ()


def add(namespace: str) -> None:
    """Make a namespace."""
    _told([ip_program(), "netns", "add", namespace])


def delete(namespace: str) -> None:
    """Remove a namespace, its interfaces and rules with it; nothing to do where there is none."""
    if exists(namespace):
        _told([ip_program(), "netns", "delete", namespace])


def pids(namespace: str) -> tuple[int, ...]:
    """The processes whose main thread is in a namespace, this one left out."""
    inside = _identity(_MOUNTS / namespace)
    if inside is None:
        return ()
    # Not by `ip netns pids`: called from inside, it would find itself.
    found = (process for process in Path("/proc").glob("[0-9]*") if _identity(process / "ns/net") == inside)
    return tuple(pid for pid in (int(process.name) for process in found) if pid != os.getpid())


def exec_command(namespace: str, command: Iterable[str]) -> list[str]:
    """The command that runs a command in a namespace."""
    return [ip_program(), "netns", "exec", namespace, *command]


def ip_batch(namespace: str, lines: Iterable[str], version: int | None = None) -> None:
    """Run ip(8) commands, one a line, in a namespace; the first that fails ends it.

    version: of IP, where the commands do not tell.
    """
    family = [] if version is None else [f"-{version}"]
    _told([ip_program(), "-n", namespace, *family, "-batch", "-"], stdin="\n".join([*lines, ""]))


def ip_json(namespace: str, *words: str) -> list[dict[str, Any]]:
    """What ip(8) shows of a namespace, as its JSON has it."""
    shown = _told([ip_program(), "-n", namespace, "-json", *words])
    found: list[dict[str, Any]] = json.loads(shown or "[]")
    return found


def nft(namespace: str, rules: str) -> None:
    """Load nftables rules into a namespace, all of them or none."""
    _told([*exec_command(namespace, [nft_program()]), "-f", "-"], stdin=rules)


def set_sysctls(namespace: str, values: Mapping[str, str]) -> None:
    """Set sysctls of a namespace in the order given; those of an absent IPv6 are passed over.

    As sysctl(8) has it, a name is divided by slashes where there are any: interfaces have dots in theirs.
    """
    with entered(namespace):
        for name, value in values.items():
            path = Path("/proc/sys", *name.split("/" if "/" in name else "."))
            if "ipv6" in path.parts and not path.exists():
                continue
            try:
                path.write_text(value)
            except OSError as error:
                raise UsageError(f"the lab cannot set {name}={value}: {error.strerror}") from None


def wait_for_addresses(namespace: str, seconds: float) -> None:
    """Wait until every IPv6 address of a namespace is in use; UsageError where that takes too long.

    One is tentative, and answers nobody, until its interface is found to be up.
    """
    deadline = time.monotonic() + seconds
    with entered(namespace):
        path = Path("/proc/thread-self/net/if_inet6")
        while path.exists() and any(_is_tentative(line) for line in path.read_text().splitlines()):
            if time.monotonic() > deadline:
                raise UsageError(f"IPv6 addresses in {namespace} were not usable within {seconds:g} s")
            time.sleep(_POLL)


def _is_tentative(line: str) -> bool:
    """A line of /proc/net/if_inet6: address, index, prefix length, scope, flags and name, in hexadecimal."""
    return bool(int(line.split()[4], 16) & _IFA_F_TENTATIVE)


@contextmanager
def entered(namespace: str) -> Iterator[None]:
    """Move the calling thread into a namespace, and back at the end.

    Sockets stay in the namespace they were made in; processes and threads started inside
    inherit it. Other threads stay where they are.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            there = os.open(_MOUNTS / namespace, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise UsageError(f"there is no network namespace {namespace}") from None
        try:
            _move_thread(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _move_thread(before)
    finally:
        os.close(before)


def _move_thread(descriptor: int) -> None:
    """setns(2); `os.setns` came with Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise UsageError(f"cannot enter the network namespace: {os.strerror(ctypes.get_errno())}")


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a namespace from others (namespaces(7)); None where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _told(command: list[str], stdin: str | None = None) -> str:
    """Run a command to its end and give what it wrote."""
    # The command takes the lab's lock along, so that a builder killed now does not set it free before the
    # command has ended.
    ended = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, close_fds=False)
    if ended.returncode != 0:
        said = (ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[0]
        raise UsageError(f"the lab cannot be built here: {' '.join(command)}: {said}")
    return ended.stdout
