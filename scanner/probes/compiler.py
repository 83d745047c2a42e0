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
_IPV6_HEADER = 40


class _Varying(NamedTuple):
    """A field of a layer, and its values of all zeros and all ones."""

    layer: str
    name: str
    zeros: object
    ones: object


_ADDRESS = ("0.0.0.0", "255.255.255.255")  # noqa: S104 - a pattern of bits, nothing is bound
_ADDRESS6 = ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
_MAC = ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")
_FIELDS = {
    "IP": {
        Field.SOURCE: _Varying("IP", "src", *_ADDRESS),
        Field.DESTINATION: _Varying("IP", "dst", *_ADDRESS),
    },
    "IPv6": {
        Field.SOURCE: _Varying("IPv6", "src", *_ADDRESS6),
        Field.DESTINATION: _Varying("IPv6", "dst", *_ADDRESS6),
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
    Field.SOURCE_MAC: _Varying("ARP", "hwsrc", *_MAC),
}

_SOLICITATION = "ICMPv6 Neighbor Discovery - Neighbor Solicitation"
_LINK_LAYER_ADDRESS = "ICMPv6 Neighbor Discovery Option - Source Link-Layer Address"
_SOLICITATION_FIELDS = {
    **_FIELDS["IPv6"],
    Field.SOLICITED: _Varying(_SOLICITATION, "tgt", *_ADDRESS6),
    Field.SOURCE_MAC: _Varying(_LINK_LAYER_ADDRESS, "lladdr", *_MAC),
}
_ICMPV6 = 58


def compile_probe(probe: Probe, port: int, version: int = 4) -> Template:
    """Compile a probe for a port and a version of IP.

    Raises UsageError where the packet cannot be made a template.
    """
    return compile_packet(in_version(probe.packet(probe.payload(port)), version), name=probe.name)


def in_version(packet: Packet, version: int) -> Packet:
    """The same packet over IPv6, where that is wanted: its time to live, and our mark as the flow label."""
    if version == 4 or packet.name != "IP":
        return packet
    from scapy.layers.inet6 import IPv6  # noqa: PLC0415 - a fifth of a second, only when compiling

    return IPv6(hlim=packet.ttl, tc=packet.tos, fl=packet.id, src="::", dst="::") / packet.payload


def compile_packet(packet: Packet, *, name: str = "packet") -> Template:
    """Compile a Scapy packet that starts at IPv4 or IPv6 and carries TCP or UDP.

    Addresses, ports and the TCP sequence number become fields, the checksums are left to the
    stamper; everything else is taken as it stands.

    Raises:
        UsageError: naming what keeps this packet from becoming a template.
    """
    network, transport = packet.name, packet.payload.name
    if network not in {"IP", "IPv6"} or transport not in _IP_PROTOCOLS:
        msg = f"{name}: a probe starts with IP or IPv6 and carries TCP or UDP; this is {_layers(packet)}"
        raise UsageError(msg)
    varying = {**_FIELDS[network], **_FIELDS[transport]}
    base = packet.copy()
    checksums = [
        _Varying(layer, "chksum", 0, 0xFFFF)
        for layer in ("IP", transport)
        if layer != "IP" or network == "IP"
    ]
    for where in (*varying.values(), *checksums):
        _set(base, where, where.zeros, name)
    built = bytes(base)
    places = {field: _place(base, built, where, name) for field, where in varying.items()}
    header = (built[0] & 0x0F) * 4 if network == "IP" else _IPV6_HEADER
    if places[Field.SOURCE_PORT][0] != header:
        msg = f"{name}: {transport} does not begin where the {network} header says it ends"
        raise UsageError(msg)
    sums = [
        Checksum(
            offset=_place(base, built, checksums[-1], name)[0],
            start=header,
            stop=len(built),
            constant=_IP_PROTOCOLS[transport] + len(built) - header,
            pseudo_header=True,
            zero_means_none=transport == "UDP",
        )
    ]
    if network == "IP":
        sums.insert(0, Checksum(offset=_place(base, built, checksums[0], name)[0], start=0, stop=header))
    return Template(packet=built, fields=places, checksums=tuple(sums))


def compile_solicitation(packet: Packet) -> Template:
    """Compile a neighbour solicitation: all addresses in it become fields.

    Raises:
        UsageError: the packet is none, or an address is not where a template could hold it.
    """
    if packet.name != "IPv6" or _SOLICITATION not in packet or _LINK_LAYER_ADDRESS not in packet:
        msg = f"neighbour solicitation: IPv6 that tells our own address; this is {_layers(packet)}"
        raise UsageError(msg)
    base = packet.copy()
    checksum = _Varying(_SOLICITATION, "cksum", 0, 0xFFFF)
    for where in (*_SOLICITATION_FIELDS.values(), checksum):
        _set(base, where, where.zeros, "neighbour solicitation")
    built = bytes(base)
    places = {
        field: _place(base, built, where, "neighbour solicitation")
        for field, where in _SOLICITATION_FIELDS.items()
    }
    offset = _place(base, built, checksum, "neighbour solicitation")[0]
    constant = _ICMPV6 + len(built) - _IPV6_HEADER
    return Template(
        packet=built,
        fields=places,
        checksums=(Checksum(offset, _IPV6_HEADER, len(built), constant, pseudo_header=True),),
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
        or width not in {2, 4, 6, 16}
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
