"""A real UPS server: NUT's upsd, and its dummy driver, which plays a UPS.

Debian's /sbin/upsd is a wrapper that refuses to start unless the machine's own nut.conf
says so; the programs themselves are in /lib/nut. Their files live in a folder of the lab.
"""

from __future__ import annotations

import socket
from pathlib import Path

from scanner.lab import namespaces, processes
from scanner.model import UsageError

UPS_NAME = "demo"

_FOLDERS = (Path("/lib/nut"), Path("/usr/lib/nut"))
_DRIVER = "dummy-ups"
_SERVER = "upsd"

_DEVICE = """\
device.mfr: Ghostport
device.model: Lab 401
device.type: ups
ups.mfr: Ghostport
ups.model: Lab 401
ups.status: OL
ups.load: 23
battery.charge: 100
battery.runtime: 1810
input.voltage: 231.4
"""


def require_programs() -> None:
    """Raise UsageError unless upsd and its dummy driver are installed."""
    _program(_SERVER)
    _program(_DRIVER)


def start(namespace: str, address: str, ports: tuple[int, ...], folder: Path) -> None:
    """Start upsd in a namespace, listening on an address; returns once it tells of its UPS.

    folder: a new one, for configuration, sockets and logs.
    """
    folder.mkdir(mode=0o700)
    for name, content in _configuration(address, ports).items():
        (folder / name).touch(mode=0o600)
        (folder / name).write_text(content)
    environment = {"NUT_CONFPATH": str(folder), "NUT_STATEPATH": str(folder)}

    driver_log, server_log = folder / "driver.log", folder / "upsd.log"
    driver_socket = folder / f"{_DRIVER}-{UPS_NAME}"
    command = [_program(_DRIVER), "-a", UPS_NAME, "-u", "root", "-F"]
    driver = processes.start(namespace, command, log=driver_log, environment=environment)
    processes.wait_until(driver_socket.exists, driver, log=driver_log, seconds=5)

    command = [_program(_SERVER), "-F", "-u", "root"]
    server = processes.start(namespace, command, log=server_log, environment=environment)
    processes.wait_until(
        lambda: all(_tells_of_its_ups(namespace, address, port) for port in ports),
        server, log=server_log, seconds=5,
    )  # fmt: skip


def _configuration(address: str, ports: tuple[int, ...]) -> dict[str, str]:
    driver = f'driver = {_DRIVER}\nport = {UPS_NAME}.dev\nmode = dummy-once\ndesc = "A UPS of the lab"\n'
    return {
        "nut.conf": "MODE=none\n",
        "ups.conf": f"[{UPS_NAME}]\n{driver}",
        f"{UPS_NAME}.dev": _DEVICE,
        "upsd.conf": "".join(f"LISTEN {address} {port}\n" for port in ports),
        "upsd.users": "",
    }


def _tells_of_its_ups(namespace: str, address: str, port: int) -> bool:
    """Whether the server answers, and has heard from the driver (RFC 9271)."""
    with namespaces.entered(namespace), socket.socket() as client:
        client.settimeout(1)
        try:
            client.connect((address, port))
            client.sendall(f"GET VAR {UPS_NAME} ups.status\n".encode())
            return client.recv(256) == f'VAR {UPS_NAME} ups.status "OL"\n'.encode()
        except OSError:
            return False


def _program(name: str) -> str:
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return str(folder / name)
    raise UsageError(f"this lab needs NUT's {name}, which is not here; on Debian: apt-get install nut-server")
