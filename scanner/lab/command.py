"""`ghostport lab …`: build a lab, run commands in it, ask what is true of it, remove it."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence

import msgspec

from scanner.core.ports import format_ports, parse_ports
from scanner.lab.lab import Lab, Status
from scanner.lab.plan import Plan
from scanner.lab.profiles import PROFILES, profile_named
from scanner.model import TRANSPORTS, Protocol, UsageError

DEFAULT_NAME = "demo"
_MOST_LISTED = 5


def add_actions(parser: argparse.ArgumentParser) -> None:
    """Add the actions, each a sub-command: `run` of what it parses takes that and gives the exit code."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    up = actions.add_parser("up", help="build a lab, anew where there is one of this name")
    up.add_argument("--profile", choices=PROFILES, default="full", help="which one (%(default)s)")
    up.add_argument("-p", "--ports", type=_ports, help="where open hosts listen (401)")
    up.set_defaults(run=_up)

    down = actions.add_parser("down", help="remove a lab and all that runs in it; fine where there is none")
    down.set_defaults(run=_down)

    status = actions.add_parser("status", help="how the labs stand")
    status.set_defaults(run=_status)

    loss = actions.add_parser("loss", help="lose packets at random, in each direction")
    loss.add_argument("percent", type=float, help="their share; 0 ends it")
    loss.set_defaults(run=_loss)

    execute = actions.add_parser("exec", help="run a command in the prober's place")
    execute.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND …")
    execute.set_defaults(run=_exec)

    networks = actions.add_parser("networks", help="what may be swept, and how each network is reached")
    networks.set_defaults(run=_networks)

    truth = actions.add_parser("truth", help="what a sweep must say of each address, as JSON lines")
    truth.add_argument("networks", nargs="*", metavar="NETWORK", help="of the lab's, by prefix (all)")
    truth.add_argument("--proto", choices=[p.value for p in TRANSPORTS], default="tcp", help="(%(default)s)")
    truth.add_argument("-p", "--ports", type=_ports, help="(those of the lab)")
    truth.set_defaults(run=_truth)

    for action in (networks, truth):
        action.add_argument("--profile", choices=PROFILES, help="of a profile, not of the lab that is up")
    for action in (up, down, loss, execute, networks, truth):
        action.add_argument("--name", default=DEFAULT_NAME, help="of the lab (%(default)s)")
    status.add_argument("--name", help="of one lab (all)")


def _up(arguments: argparse.Namespace) -> int:
    profile = profile_named(arguments.profile)
    if arguments.ports:
        profile = dataclasses.replace(profile, ports=arguments.ports)
    lab = Lab(profile, arguments.name)
    lab.up()
    _write(_line(lab.status()))
    return 0


def _down(arguments: argparse.Namespace) -> int:
    Lab(name=arguments.name).down()
    return 0


def _status(arguments: argparse.Namespace) -> int:
    names = [arguments.name] if arguments.name else Lab.names()
    for name in names:
        _write(_line(Lab(name=name).status()))
    if not names:
        _write("no lab is up")
    return 0


def _loss(arguments: argparse.Namespace) -> int:
    lab = Lab.running(arguments.name)
    lab.set_loss(arguments.percent)
    _write(_line(lab.status()))
    return 0


def _exec(arguments: argparse.Namespace) -> int:
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if not command:
        raise UsageError(
            "there is no command to run in the lab; write it after --, as in: lab exec -- nmap …"
        )
    code = Lab.running(arguments.name).run(command, check=False).returncode
    return code if code >= 0 else 128 - code  # what a shell says of a command ended by a signal


def _networks(arguments: argparse.Namespace) -> int:
    nets = _plan(arguments).nets
    width = max(len(net.net.prefix) for net in nets)
    for net in nets:
        _write(f"{net.net.prefix:<{width}}  {net.network.num_addresses:>6} addresses {net.reached()}")
    return 0


def _truth(arguments: argparse.Namespace) -> int:
    plan = _plan(arguments)
    protocol = Protocol(arguments.proto)
    encoder = msgspec.json.Encoder()
    for port in arguments.ports or plan.profile.ports:
        for network in arguments.networks or plan.networks:
            truth = plan.truth(protocol, port, network)
            sys.stdout.write(encoder.encode_lines(list(truth.records())).decode())
    return 0


def _plan(arguments: argparse.Namespace) -> Plan:
    """Of the profile that is named, else of the lab that is up."""
    if arguments.profile:
        return Plan(profile_named(arguments.profile))
    return Lab.running(arguments.name).plan


def _line(status: Status) -> str:
    if not status.up:
        remains = f", but {status.processes} of its processes run" if status.processes else ""
        return f"lab {status.name}: down{remains}"
    loss = f", losing {status.loss_percent:g} % each way" if status.loss_percent else ""
    return (
        f"lab {status.name}: up, profile {status.profile}, {_listed(status.networks)}, "
        f"open hosts on port {format_ports(status.ports)}, processes: {status.processes}{loss}"
    )


def _listed(networks: Sequence[str]) -> str:
    """All of them, or the first and how many more."""
    *some, last = networks
    if len(networks) > _MOST_LISTED:
        some, last = list(networks[:_MOST_LISTED]), f"{len(networks) - _MOST_LISTED} more (lab networks)"
    return f"{', '.join(some)} and {last}" if some else last


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")


def _ports(text: str) -> tuple[int, ...]:
    try:
        return parse_ports(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
