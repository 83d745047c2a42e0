"""What a Scapy packet asks of a sweep: targets, ports, and the probe that it is.

    IP(dst="10.0.0.0/24")/TCP(dport=[401, (8000, 8010)], flags="S")

Whatever the sweep has to fill in itself, or could not tell replies by, is refused by name; all else of the
packet is sent as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from scapy.base_classes import Gen, Net, _ScopedIP
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import NoPayload, Packet, Raw
from scapy.utils6 import Net6
from scapy.volatile import VolatileValue

from scanner.contracts import Probe
from scanner.core.ports import ports_of
from scanner.model import Protocol, UsageError
from scanner.probes.mark import IP_ID

_COOKIE = "it is part of the cookie by which replies are told from forgeries"
_WORKED_OUT = "it is worked out for every packet"
_MARK = f"it is the mark ({IP_ID}) by which a network's owner knows our probes"
_WHOLE = "a probe is one whole packet"

_REFUSED: dict[type[Packet], dict[str, str]] = {
    IP: {"id": _MARK, "chksum": _WORKED_OUT, "len": _WORKED_OUT, "ihl": _WORKED_OUT, "frag": _WHOLE},
    IPv6: {"fl": _MARK, "plen": _WORKED_OUT},
    TCP: {"sport": _COOKIE, "seq": _COOKIE, "chksum": _WORKED_OUT, "dataofs": _WORKED_OUT},
    UDP: {"sport": _COOKIE, "chksum": _WORKED_OUT, "len": _WORKED_OUT},
}
"""Fields that a packet must leave alone, and why."""

_PROTOCOLS: dict[type[Packet], Protocol] = {TCP: Protocol.TCP, UDP: Protocol.UDP}
_MARKS: dict[type[Packet], str] = {IP: "id", IPv6: "fl"}
_SHAPE = 'write IP(dst="10.0.0.0/24")/TCP(dport=401, flags="S"), or IP(…)/UDP(dport=401)/payload'


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked.

    targets: texts as `scanner.sweep` takes them. source: an address of ours, interface: a link, where the
    packet names them.
    """

    targets: tuple[str, ...]
    ports: tuple[int, ...]
    probe: Probe
    source: str | None
    interface: str | None


def asked_by(packet: object) -> Asking:
    """Take a packet for what it asks.

    Raises:
        UsageError: it is of another shape, or wants what a sweep cannot do; one line that names the field.
    """
    network, transport = _layers(packet)
    for layer in (network, transport):
        _refuse_fields(layer)
    _refuse_flags(network, transport)
    if "dst" not in network.fields:
        raise UsageError(f"{network.name}.dst is not given: say whom to ask; {_SHAPE}")
    targets, interface = _targets(network.fields["dst"])
    source = network.fields.get("src")
    if source is not None and not isinstance(source, str):
        raise UsageError(
            f"{network.name}.src has several values: a sweep leaves from one address of this host"
        )
    return Asking(
        targets=targets,
        ports=ports_of(_numbers(transport.getfieldval("dport"))),
        probe=_probe(network, transport),
        source=source,
        interface=interface,
    )


def _layers(packet: object) -> tuple[Packet, Packet]:
    if not isinstance(packet, Packet):
        raise UsageError(f"ghost_sweep takes one Scapy packet, not {type(packet).__name__}; {_SHAPE}")
    shown = "/".join(layer.__name__ for layer in packet.layers())
    transport = packet.payload
    if type(packet) not in _MARKS or type(transport) not in _PROTOCOLS:
        raise UsageError(f"a sweep asks by IP or IPv6 with TCP or UDP; this is {shown}; {_SHAPE}")
    if isinstance(transport, TCP) and not isinstance(transport.payload, NoPayload):
        raise UsageError(f"{shown}: a SYN of a sweep carries no data")
    return packet, transport


def _refuse_fields(layer: Packet) -> None:
    refused = _REFUSED[type(layer)]
    for name, value in layer.fields.items():
        where = f"{layer.name}.{name}"
        if name in refused and value is not None:
            raise UsageError(f"{where} cannot be set: {refused[name]}")
        several = isinstance(value, list | tuple | range | Gen | VolatileValue)
        if several and name not in {"src", "dst", "dport", "options"}:
            raise UsageError(f"{where} has several values: only addresses and ports may")


def _refuse_flags(network: Packet, transport: Packet) -> None:
    if isinstance(network, IP):
        if network.options:
            raise UsageError(
                "IP.options cannot be sent: they may route a packet to other addresses than it names"
            )
        if network.flags.MF:
            raise UsageError(f"IP.flags cannot have MF: {_WHOLE}")
    if isinstance(transport, TCP) and transport.flags != "S":
        raise UsageError(
            f'TCP.flags are {str(transport.flags)!r}: a sweep asks by SYN alone; write flags="S"'
        )


def _targets(value: Any) -> tuple[tuple[str, ...], str | None]:  # noqa: ANN401 - what Scapy's fields hold
    """Texts of what a destination names, and the link that it names."""
    texts: list[str] = []
    zones: set[str | None] = set()
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            texts.append(str(each))
            zones.add(each.scope if isinstance(each, _ScopedIP) else None)
        elif isinstance(each, Net | Net6):
            first, last = each.int2ip(each.start), each.int2ip(each.stop)
            texts.append(first if first == last else f"{first}-{last}")
            zones.add(each.scope)
        else:
            raise UsageError(f"dst is {each!r}: give addresses, networks or lists of them")
    if not texts:
        raise UsageError(f"dst is an empty list: say whom to ask; {_SHAPE}")
    if len(zones) > 1:
        raise UsageError("dst names several links: sweep one after the other")
    return tuple(texts), zones.pop()


def _numbers(value: Any) -> Iterator[int]:  # noqa: ANN401
    """The ports that a field of Scapy's names: a number, a range `(first, last)`, or a list of them."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, range):
        yield from value
    elif isinstance(value, tuple) and len(value) in {2, 3} and all(isinstance(n, int) for n in value):
        yield from range(value[0], value[1] + 1, *value[2:])
    elif isinstance(value, Iterable) and not isinstance(value, VolatileValue | tuple):
        for each in value:
            yield from _numbers(each)
    else:
        raise UsageError(f"dport is {value!r}: give a port, a range (first, last), or a list of them")


def _probe(network: Packet, transport: Packet) -> Probe:
    """The packet without what varies, under our mark."""
    kept = {name: value for name, value in network.fields.items() if name not in {"src", "dst"}}
    header = type(network)(**kept | {_MARKS[type(network)]: IP_ID})
    inside = type(transport)(**{name: value for name, value in transport.fields.items() if name != "dport"})
    # Built once: what is drawn at random in it is the same for all.
    data = bytes(transport.payload)

    def made(payload: bytes) -> Packet:
        whole: Packet = header / inside
        return whole / Raw(payload) if payload else whole

    return Probe(
        name="ghost_sweep",
        protocol=_PROTOCOLS[type(transport)],
        summary="a Scapy packet as it was written",
        packet=made,
        payload=lambda _port: data,
    )
