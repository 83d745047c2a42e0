"""The lab as one thing: up, used, down.

The law: all that a lab is, is found again by its name, in its namespaces and one folder.
So `up` heals what a killed builder left behind, `down` may be called by anybody and as
often as they like, and afterwards nothing is left.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Self

import msgspec

from scanner.lab import (
    devices,
    isolation,
    joints,
    listeners,
    lock,
    namespaces,
    nut,
    processes,
    routing,
    ruleset,
    topology,
)
from scanner.lab.plan import Expectation, Plan
from scanner.lab.profile import Profile, Side
from scanner.lab.profiles import profile_named
from scanner.lab.truth import Truth
from scanner.model import TRANSPORTS, Protocol, UsageError

_RUN = Path("/run")
_FOLDER_PREFIX = "ghostport-lab-"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_READY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of a lab. `profile` and `loss_percent` are None where it is not up.

    networks: all that may be swept, the one that the lab is about first.
    """

    name: str
    up: bool
    profile: str | None
    networks: tuple[str, ...]
    ports: tuple[int, ...]
    loss_percent: float | None
    processes: int


@dataclass(frozen=True, slots=True)
class _State:
    """What a lab's folder remembers of it. It is written last, so it is there when the lab is up."""

    profile: Profile
    loss_percent: float


class Lab:
    """A prober and the hosts around it, in network namespaces; as a context manager, up inside.

    profile: a `Profile`, or the name of one.
    name: labs of different names live side by side; a lab of the same name is the same lab.

    Every method that touches the system needs root, and raises UsageError, one line, where
    something is missing or fails.
    """

    def __init__(self, profile: Profile | str = "small", name: str = "demo") -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot name a lab; take up to 32 of a-z, 0-9 and -")
        self.name = name
        self._plan_for(profile_named(profile) if isinstance(profile, str) else profile)
        self.places = {side: f"gp-{name}-{side}" for side in Side}
        self._folder = _RUN / f"{_FOLDER_PREFIX}{name}"

    @property
    def prober(self) -> str:
        """The namespace of the prober."""
        return self.places[Side.PROBER]

    @property
    def target(self) -> str:
        """The namespace of the hosts and of their router."""
        return self.places[Side.TARGET]

    @classmethod
    def running(cls, name: str = "demo") -> Self:
        """The lab of this name that is up, whoever built it."""
        lab = cls(name=name)
        return cls(lab._state().profile, name)

    @staticmethod
    def names() -> tuple[str, ...]:
        """The names of all labs of which there is anything."""
        folders = {path.name.removeprefix(_FOLDER_PREFIX) for path in _RUN.glob(f"{_FOLDER_PREFIX}*")}
        pattern = re.compile(rf"gp-(.+)-(?:{'|'.join(Side)})")
        matches = (pattern.fullmatch(namespace) for namespace in namespaces.names())
        found = folders | {match[1] for match in matches if match}
        return tuple(sorted(name for name in found if _NAME.fullmatch(name)))

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    # --- up and down ----------------------------------------------------------------------------

    def up(self) -> None:
        """Build it, anew where there is one of this name. All its ports listen when this returns.

        Where the kernel has no IPv6, neither has the lab.
        """
        namespaces.require_privilege()
        if not namespaces.has_ipv6():
            self._plan_for(self.profile.without_ipv6())
        namespaces.ip_program()
        namespaces.nft_program()
        if self.plan.ups is not None:
            nut.require_programs()
        with lock.held(self._folder.name):
            self._remove()
            try:
                self._build()
            except BaseException:
                self._remove()
                raise

    def down(self) -> None:
        """Remove it, and whatever runs in its namespaces; fine where there is nothing."""
        namespaces.require_privilege()
        with lock.held(self._folder.name):
            self._remove()

    def status(self) -> Status:
        """How it stands. Up means that namespaces, processes and all were found."""
        namespaces.require_privilege()
        found = sum(len(namespaces.pids(self.places[side])) for side in Side if side is not Side.PROBER)
        try:
            state = self._state()
        except UsageError:
            return Status(self.name, up=False, profile=None, networks=(), ports=(), loss_percent=None,
                          processes=found)  # fmt: skip
        up = found > 0 and namespaces.exists(self.prober)
        profile = state.profile
        networks = tuple(net.prefix for _, net in profile.nets)
        return Status(
            self.name, up, profile.name, networks, profile.ports, state.loss_percent, processes=found
        )

    def set_loss(self, percent: float) -> None:
        """Lose this share of all packets on the cables, in each direction, from now on; 0 ends it."""
        if not 0 <= percent < 100:
            raise UsageError(f"a loss of {percent:g} % is not possible; take 0 to 99")
        state = self._state()
        for side in state.profile.sides():
            if side is not Side.PROBER:
                far = [way.far_device for way in state.profile.ways if way.far is side and way.far_device]
                namespaces.nft(self.places[side], ruleset.loss_rules(percent, far))
        self._remember(_State(state.profile, percent))

    # --- in the prober's place ----------------------------------------------------------------

    def run(self, command: Iterable[str], **options: Any) -> subprocess.CompletedProcess[Any]:  # noqa: ANN401
        """`subprocess.run` in the prober namespace; `options` are its."""
        self.assert_isolated()
        return subprocess.run(namespaces.exec_command(self.prober, command), **options)  # noqa: PLW1510

    def popen(self, command: Iterable[str], **options: Any) -> subprocess.Popen[Any]:  # noqa: ANN401
        """`subprocess.Popen` in the prober namespace; `options` are its."""
        self.assert_isolated()
        # Inside from its first moment, and not while others build or remove: `down` finds it.
        with lock.held(self._folder.name), namespaces.entered(self.prober):
            return subprocess.Popen(namespaces.exec_command(self.prober, command), **options)

    @contextmanager
    def enter(self) -> Iterator[None]:
        """Move the calling thread into the prober namespace and back; sockets made inside stay there."""
        self.assert_isolated()
        with namespaces.entered(self.prober):
            yield

    def assert_isolated(
        self, interfaces: Collection[str] = (), networks: Collection[IPv4Network | IPv6Network] = ()
    ) -> None:
        """Raise UsageError unless the lab is up, and no packet can get out of it.

        interfaces, networks: what there may be beside the lab's own.
        """
        plan = Plan(self._state().profile)
        for side in plan.profile.sides():
            namespace = self.places[side]
            out = isolation.way_out(
                namespaces.ip_json(namespace, "link"),
                namespaces.ip_json(namespace, "route", "show", "table", "all", "type", "unicast"),
                interfaces={*topology.interfaces(plan, side), *interfaces},
                networks=(*plan.networks, *networks),
            )
            if out is not None:
                raise UsageError(
                    f"{namespace} is not isolated, {out}: nothing runs in it; "
                    f"build it again: ghostport lab up --name {self.name}"
                )

    # --- what is true of it -------------------------------------------------------------------

    def truth(self, protocol: Protocol, port: int = 401, network: str | None = None) -> Truth:
        """What a sweep of one of the lab's networks must say, of the first unless said otherwise."""
        return self.plan.truth(protocol, port, network)

    def expected(self, address: str | int, protocol: Protocol, port: int = 401) -> Expectation:
        """What a sweep must say of one address; UsageError where it is none of the lab's targets."""
        return self.plan.expected(address, protocol, port)

    # --- how ----------------------------------------------------------------------------------

    def _plan_for(self, profile: Profile) -> None:
        self.profile = profile
        self.plan = Plan(profile)

    def _build(self) -> None:
        self._folder.mkdir()
        self._build_network()
        for side in self.profile.sides():
            self._start_listeners(side)
        if self.profile.ups is not None:
            nut.start(self.target, self.profile.ups, self.profile.ports, self._folder / "nut")
        for side in self.profile.sides():
            namespaces.wait_for_addresses(self.places[side], _READY_SECONDS)
        self._remember(_State(self.profile, loss_percent=0))

    def _remove(self) -> None:
        for namespace in self.places.values():
            processes.end_all(namespace)
        for namespace in self.places.values():
            namespaces.delete(namespace)
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def _build_network(self) -> None:
        sides = self.profile.sides()
        for side in sides:
            namespaces.add(self.places[side])
            # Before the interfaces, which take their settings from `default`.
            namespaces.set_sysctls(self.places[side], topology.sysctls(self.plan, side))
        self._make_devices()
        # The rules before the addresses: nothing is ever seen to behave otherwise.
        for side in sides:
            if side is not Side.PROBER:
                namespaces.nft(self.places[side], ruleset.behaviour_rules(self.plan, side))
                namespaces.ip_batch(self.places[side], routing.router_commands(self.plan, side))
        namespaces.ip_batch(self.prober, routing.prober_commands(self.plan))
        for version in (4, 6):
            if rules := routing.rule_commands(self.plan, version):
                namespaces.ip_batch(self.prober, rules, version)

    def _make_devices(self) -> None:
        namespaces.ip_batch(self.prober, topology.cable_commands(self.plan, self.places))
        played = devices.played_kinds(self.plan, self.prober)
        with ExitStack() as stack:
            if joined := list(devices.open_joints(self.plan, self.places, played, stack)):
                self._start(Side.TARGET, joints, msgspec.json.encode(joined), devices.descriptors(joined))
        for side in self.profile.sides():
            if lines := list(topology.device_commands(self.plan, side, played)):
                namespaces.ip_batch(self.places[side], lines)
            namespaces.set_sysctls(self.places[side], topology.device_sysctls(self.plan, side))

    def _start_listeners(self, side: Side) -> None:
        wanted = {protocol.value: self.plan.listening(protocol, side) for protocol in TRANSPORTS}
        if side is Side.TARGET or any(wanted.values()):
            self._start(side, listeners, msgspec.json.encode(wanted))

    def _start(
        self, side: Side, program: ModuleType, wanted: bytes, descriptors: Collection[int] = ()
    ) -> None:
        """Start one of the lab's own programs, and wait until it is ready; `wanted` is its standard input."""
        name = f"{program.__name__.rpartition('.')[2]}-{side}"
        source, log = self._folder / f"{name}.json", self._folder / f"{name}.log"
        source.write_bytes(wanted)
        command = [sys.executable, "-I", str(program.__file__)]
        process = processes.start(self.places[side], command, stdin=source, log=log, descriptors=descriptors)
        processes.wait_until(
            lambda: log.read_bytes() == listeners.READY, process, log=log, seconds=_READY_SECONDS
        )

    def _remember(self, state: _State) -> None:
        (self._folder / "lab.json").write_bytes(msgspec.json.encode(state))

    def _state(self) -> _State:
        try:
            return msgspec.json.decode((self._folder / "lab.json").read_bytes(), type=_State)
        except (FileNotFoundError, msgspec.DecodeError):
            raise UsageError(
                f"the lab {self.name!r} is not up; run: ghostport lab up --name {self.name}"
            ) from None
        except PermissionError:
            raise UsageError(f"the lab {self.name!r} is root's; run this with sudo") from None
