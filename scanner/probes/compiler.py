"""The compiler: an ordinary Scapy packet becomes a template.

Where a field sits is not assumed but found: the packet is built with the field all zeros and all
ones, and the bytes that differ are the field. Whatever layers or options stand before it, the
offset is right; a packet in which it is not (a field that moves others, or is missing) is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scanner.core.template import Checksum, Field, Template
from scanner.model import UsageError

if TYPE_CHECKING:
    from scapy.packet import Packet

    from scanner.contracts import Probe

_IP_PROTOCOLS = {"TCP": 6, "UDP": 17}


class _Varying(NamedTuple):
    """A field of a layer, and its values of all zeros and all ones."""

    layer: str
    name: str
    zeros: object
    ones: object


_ADDRESS = ("0.0.0.0", "255.255.255.255")  # noqa: S104 - a pattern of bits, nothing is bound
_FIELDS = {
    "IP": {
        Field.SOURCE: _Varying("IP", "src", *_ADDRESS),
        Field.DESTINATION: _Varying("IP", "dst", *_ADDRESS),
    },
    "TCP": {
        Field.SOURCE_PORT: _Varying("TCP", "sport", 0, 0xFFFF),
        Field.DESTINATION_PORT: _Varying("TCP", "dport", 0, 0xFFFF),
        Field.SEQUENCE: _Varying("TCP", "seq", 0, 0xFFFFFFFF),
    },
    "UDP": {
        Field.SOURCE_PORT: _Varying("UDP", "sport", 0, 0xFFFF),
        Field.DESTINATION_PORT: _Varying("UDP", "dport", 0, 0xFFFF),
    },
}

_ARP_FIELDS = {
    Field.SOURCE: _Varying("ARP", "psrc", *_ADDRESS),
    Field.DESTINATION: _Varying("ARP", "pdst", *_ADDRESS),
    Field.SOURCE_MAC: _Varying("ARP", "hwsrc", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"),
}


def compile_probe(probe: Probe, port: int) -> Template:
    """Compile a probe for a port. Raises UsageError where the packet cannot be made a template."""
    return compile_packet(probe.packet(probe.payload(port)), name=probe.name)


def compile_packet(packet: Packet, *, name: str = "packet") -> Template:
    """Compile a Scapy packet that starts at IPv4 and carries TCP or UDP.

    Addresses, ports and the TCP sequence number become fields, both checksums are left to the
    stamper; everything else is taken as it stands.

    Raises:
        UsageError: naming what keeps this packet from becoming a template.
    """
    transport = packet.payload.name
    if packet.name != "IP" or transport not in _IP_PROTOCOLS:
        msg = f"{name}: a probe starts with IP and carries TCP or UDP; this is {_layers(packet)}"
        raise UsageError(msg)
    varying = {**_FIELDS["IP"], **_FIELDS[transport]}
    base = packet.copy()
    checksums = [_Varying(layer, "chksum", 0, 0xFFFF) for layer in ("IP", transport)]
    for where in (*varying.values(), *checksums):
        _set(base, where, where.zeros, name)
    built = bytes(base)
    places = {field: _place(base, built, where, name) for field, where in varying.items()}
    header = (built[0] & 0x0F) * 4
    if places[Field.SOURCE_PORT][0] != header:
        msg = f"{name}: {transport} does not begin where the IP header says it ends"
        raise UsageError(msg)
    return Template(
        packet=built,
        fields=places,
        checksums=(
            Checksum(offset=_place(base, built, checksums[0], name)[0], start=0, stop=header),
            Checksum(
                offset=_place(base, built, checksums[1], name)[0],
                start=header,
                stop=len(built),
                constant=_IP_PROTOCOLS[transport] + len(built) - header,
                pseudo_header=True,
                zero_means_none=transport == "UDP",
            ),
        ),
    )


def compile_arp(packet: Packet) -> Template:
    """Compile an ARP request: the sender's two addresses and the address asked for become fields.

    Raises:
        UsageError: the packet does not start at ARP, or an address is not where a template could hold it.
    """
    if packet.name != "ARP":
        msg = f"arp: an ARP probe starts with ARP; this is {_layers(packet)}"
        raise UsageError(msg)
    base = packet.copy()
    for where in _ARP_FIELDS.values():
        _set(base, where, where.zeros, "arp")
    built = bytes(base)
    places = {field: _place(base, built, where, "arp") for field, where in _ARP_FIELDS.items()}
    return Template(packet=built, fields=places)


def _place(base: Packet, built: bytes, where: _Varying, name: str) -> tuple[int, int]:
    probe = base.copy()
    _set(probe, where, where.ones, name)
    other = bytes(probe)
    differing = [at for at, (one, two) in enumerate(zip(built, other, strict=False)) if one != two]
    width = len(differing)
    if (
        len(other) != len(built)
        or width not in {2, 4, 6}
        or differing[-1] - differing[0] + 1 != width
        or differing[0] % 2
    ):
        msg = f"{name}: {where.layer}.{where.name} does not sit in one even place, so it cannot be stamped"
        raise UsageError(msg)
    return differing[0], width


def _set(packet: Packet, where: _Varying, value: object, name: str) -> None:
    try:
        packet[where.layer].setfieldval(where.name, value)
    except AttributeError:
        msg = f"{name}: {where.layer} has no field {where.name}"
        raise UsageError(msg) from None


def _layers(packet: Packet) -> str:
    """Its layers by name; Scapy's own summary would look up routes."""
    return "/".join(layer.__name__ for layer in packet.layers())
