"""The words of the command line. Declares them, and imports nothing heavy: `--help` is instant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from scanner.model import UsageError, WireKind

_LAB_HELP = "an isolated network of real hosts on this machine, to try it on (root)"
_TARGET_HELP = "address, CIDR, 10.0.0.1-10.0.0.20, or octet ranges such as 10.0.0-3.1-254"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as the rest of the package does."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError."""
        msg = f"{message}; see {self.prog} --help"
        raise UsageError(msg)


class _Version(argparse.Action):
    """Looks the version up when it is asked for: that reads every installed distribution's metadata."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Show it and exit."""
        from importlib import metadata  # noqa: PLC0415 - a fiftieth of a second, for this one line

        print(f"ghostport {metadata.version('ghostport')}")
        parser.exit()


def parse(words: Sequence[str]) -> argparse.Namespace:
    """What the words of a command line say; the command's name is in `command`.

    Raises UsageError for words that say nothing; exits after --help and --version.
    """
    parser = _Parser(
        prog="ghostport",
        description="Sweep a network for a port that nobody uses, and say of every address: open, closed or "
        "filtered, and why.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_sweep(commands)
    _add_read(commands)
    plugins = commands.add_parser(
        "plugins",
        help="list the plugins there are: probes, identifiers, formats",
        description="List the plugins there are, where they are from, and what they bring.",
        allow_abbrev=False,
    )
    _add_plugins(plugins)
    commands.add_parser("lab", help=_LAB_HELP, add_help=False)
    command = commands.choices.get(words[0]) if words else None
    if command is None:
        return parser.parse_args(words)
    # Intermixed: targets may stand before and behind options.
    return command.parse_intermixed_args(words[1:], argparse.Namespace(command=words[0]))


def lab_parser() -> argparse.ArgumentParser:
    """The parser of `ghostport lab`, without its actions, which the lab itself declares."""
    return _Parser(prog="ghostport lab", description=_LAB_HELP, allow_abbrev=False)


def _add_sweep(commands: argparse._SubParsersAction[_Parser]) -> None:
    sweep = commands.add_parser(
        "sweep",
        help="probe targets and classify what answers",
        description="Probe every target and give each its verdict. Only private, loopback and link-local "
        "addresses are probed.",
        epilog="exit codes: 0 done; 2 bad input; 3 a target is out of scope; "
        "4 incomplete, what was learnt is kept",
        allow_abbrev=False,
    )
    what = sweep.add_argument_group("what to probe")
    what.add_argument("targets", metavar="TARGET", nargs="*", help=_TARGET_HELP)
    what.add_argument(
        "--targets-file",
        metavar="FILE",
        action="append",
        default=[],
        help="more targets; - is standard input",
    )
    what.add_argument(
        "--discover-v6",
        action="store_true",
        help="also the IPv6 neighbours on --interface that answer a ping to all nodes (ff02::1)",
    )
    what.add_argument(
        "-p", "--ports", metavar="PORTS", default="401", help="401,3493,8000-8100 (default: 401)"
    )
    what.add_argument("--tcp", action="store_true", help="SYN probes (default: both protocols)")
    what.add_argument("--udp", action="store_true", help="UDP probes")
    what.add_argument(
        "--probe",
        metavar="NAME",
        action="append",
        default=[],
        help="ask by another probe: ack, sctp-init, icmp-echo, or one that a plugin brings",
    )
    what.add_argument(
        "--payload", metavar="FILE", action="append", default=[], help="UDP probes with the bytes of a file"
    )
    what.add_argument(
        "--exclude",
        metavar="TARGET",
        action="append",
        default=[],
        help="do not probe; commas between several",
    )
    what.add_argument(
        "--exclude-file", metavar="FILE", action="append", default=[], help="more that is not probed"
    )
    what.add_argument(
        "--scope-from",
        metavar="NAME:WHICH",
        action="append",
        default=[],
        help="probe only what a plugin's scope provider knows to be authorised",
    )
    how = sweep.add_argument_group("how")
    how.add_argument(
        "--identify",
        action="store_true",
        help="then connect to open TCP ports, to learn which service each is",
    )
    how.add_argument(
        "--rate",
        metavar="N",
        default="auto",
        help="packets a second, max for as many as the kernel carries, "
        "or auto for as many as get through (default: auto)",
    )
    how.add_argument("--max-rate", metavar="N", help="packets a second that auto does not exceed")
    how.add_argument(
        "--max-per-host",
        metavar="N",
        help="packets a second to one address (default: 5000 for many ports at --rate auto)",
    )
    how.add_argument(
        "--retries",
        metavar="N",
        default="2",
        help="probes after the first for the silent, up to twice as many where replies get lost (default: 2)",
    )
    how.add_argument(
        "--wait", metavar="SECONDS", default="1", help="longest wait for a reply to one probe (default: 1)"
    )
    how.add_argument("--interface", metavar="IF", help="leave by this interface")
    how.add_argument("--source-ip", metavar="IP", help="leave from this address of ours")
    how.add_argument(
        "--wire",
        choices=[str(kind) for kind in WireKind],
        default="auto",
        help="way out: ring past the kernel's stack, raw through it, scapy where there is no AF_PACKET "
        "(default: what fits each interface)",
    )
    how.add_argument(
        "--no-arp", action="store_true", help="send through the kernel, which finds the neighbours itself"
    )
    how.add_argument(
        "--ping",
        action="store_true",
        help="first ask who is up behind routers (ICMP echo, SYN to common ports); leave the others alone",
    )
    how.add_argument("--seed", metavar="N", help="order of the probes (default: at random)")
    how.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
    _add_output(sweep)
    evidence = sweep.add_argument_group("evidence")
    evidence.add_argument(
        "--evidence",
        metavar="FILE.pcap",
        help="write every probe, and every reply to one, there; the plan beside it",
    )
    evidence.add_argument(
        "--evidence-sink",
        metavar="NAME:WHERE",
        action="append",
        default=[],
        help="hand it to a plugin's sink as well",
    )


def _add_read(commands: argparse._SubParsersAction[_Parser]) -> None:
    read = commands.add_parser(
        "read",
        help="classify recorded captures by the same rules",
        description="Classify what was probed in captures: a sweep's evidence, or what another tool did. "
        "Captures without a sweep's plan are read as one.",
        epilog="exit codes: 0 done; 2 bad input, other files are still read; "
        "4 incomplete: the sweep, or a file, was cut short",
        allow_abbrev=False,
    )
    read.add_argument(
        "captures",
        metavar="FILE",
        nargs="+",
        help="pcap or pcapng, also compressed by gzip or zstd; - is standard input",
    )
    what = read.add_argument_group("what to speak of")
    what.add_argument(
        "-p",
        "--ports",
        metavar="PORTS",
        help="401,3493,8000-8100, or all (default: those of the sweep's plan, else 401)",
    )
    what.add_argument(
        "--prober",
        metavar="NET",
        action="append",
        default=[],
        help="only probes from there; commas between several",
    )
    what.add_argument(
        "--target",
        metavar="NET",
        action="append",
        default=[],
        help="only probes to there; commas between several",
    )
    what.add_argument(
        "--from",
        dest="since",
        metavar="TIME",
        help="only packets from then on: 2026-11-23T14:16:13Z (in UTC unless a zone is given), "
        "or seconds since 1970",
    )
    what.add_argument("--to", dest="until", metavar="TIME", help="only packets up to then")
    what.add_argument("--per-prober", action="store_true", help="a verdict for each prober of a target")
    what.add_argument(
        "--conversations",
        action="store_true",
        help="who talked on the ports at all, and what was said first, instead of verdicts",
    )
    _add_output(read)


def _add_plugins(command: argparse.ArgumentParser) -> None:
    plugins = command.add_argument_group("plugins")
    plugins.add_argument(
        "--plugin",
        metavar="NAME",
        action="append",
        default=[],
        help="use that plugin: an installed one, a module, or a file (./mine.py)",
    )
    plugins.add_argument(
        "--no-plugins", action="store_true", help="do not use installed plugins, unless they are named"
    )


def _add_output(command: argparse.ArgumentParser) -> None:
    output = command.add_argument_group("output")
    output.add_argument(
        "--format",
        metavar="FORMAT",
        help="text, jsonl, csv, terminal, or one that a plugin brings (default: text on standard output, "
        "in a file what its name ends in, else jsonl)",
    )
    output.add_argument("-o", "--output", metavar="FILE", help="write records there; - is standard output")
    output.add_argument(
        "--show",
        choices=("all", "open", "responders"),
        help="which targets: all, open ones, or those that anything came back for "
        "(default: open in text, all in records)",
    )
    _add_plugins(command)
    loudness = output.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="records and errors only")
    loudness.add_argument("-v", "--verbose", action="store_true", help="paths and counters as well")
