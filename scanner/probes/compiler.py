"""The compiler: an ordinary Scapy packet becomes a template.

Where a field sits is not assumed but found: the packet is built with the field all zeros and all
ones, and the bytes that differ are the field. Whatever layers or options stand before it, the
offset is right; a packet in which it is not (a field that moves others, or is missing) is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scanner.core.rules import Check
from scanner.core.template import Checksum, Field, Template
from scanner.model import UsageError

if TYPE_CHECKING:
    from scapy.packet import Packet

    from scanner.contracts import Probe

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
}
"""Addresses, by network layer."""


class _Transport(NamedTuple):
    """What varies of a layer behind IP.

    numbers: its IP protocol number over IPv4 and IPv6; None where it has none. first: the field it begins
    with, where that tells. fields: those that vary; wanted: of them, those that it must have. checksum: the
    Internet checksum's field; None for SCTP, which has another. pseudo_header: whether that covers addresses.
    """

    numbers: tuple[int | None, int | None]
    fields: dict[Field, _Varying]
    checksum: str | None
    pseudo_header: bool = True
    begins: int = 0


def _ported(layer: str) -> dict[Field, _Varying]:
    return {
        Field.SOURCE_PORT: _Varying(layer, "sport", 0, 0xFFFF),
        Field.DESTINATION_PORT: _Varying(layer, "dport", 0, 0xFFFF),
    }


def _echo(layer: str) -> dict[Field, _Varying]:
    return {
        Field.SOURCE_PORT: _Varying(layer, "id", 0, 0xFFFF),
        Field.ECHO_SEQUENCE: _Varying(layer, "seq", 0, 0xFFFF),
    }


_ECHO_REQUEST = "ICMPv6 Echo Request"
_INIT = "SCTPChunkInit"
_TRANSPORTS = {
    "TCP": _Transport(
        (6, 6), {**_ported("TCP"), Field.SEQUENCE: _Varying("TCP", "seq", 0, 0xFFFFFFFF)}, "chksum"
    ),
    "UDP": _Transport((17, 17), _ported("UDP"), "chksum"),
    "SCTP": _Transport(
        (132, 132), {**_ported("SCTP"), Field.INITIATE_TAG: _Varying(_INIT, "init_tag", 0, 0xFFFFFFFF)}, None
    ),
    "ICMP": _Transport((1, None), _echo("ICMP"), "chksum", pseudo_header=False, begins=4),
    _ECHO_REQUEST: _Transport((None, 58), _echo(_ECHO_REQUEST), "cksum", begins=4),
}
"""What can carry a cookie, and where, by Scapy's names of layers."""

_ACKNOWLEDGEMENT = _Varying("TCP", "ack", 0, 0xFFFFFFFF)

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
    replies = () if probe.rules is None else probe.rules.replies
    return compile_packet(
        in_version(probe.packet(probe.payload(port)), version),
        name=probe.name,
        acknowledges=any(getattr(rule, "check", None) == Check.REFLECTED for rule in replies),
    )


def in_version(packet: Packet, version: int) -> Packet:
    """The same packet over IPv6, where that is wanted: its time to live, and our mark as the flow label."""
    if version == 4 or packet.name != "IP":
        return packet
    from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6  # noqa: PLC0415 - a fifth of a second

    carried = packet.payload
    if carried.name == "ICMP":
        carried = ICMPv6EchoRequest(data=bytes(carried.payload))
    return IPv6(hlim=packet.ttl, tc=packet.tos, fl=packet.id, src="::", dst="::") / carried


def compile_packet(packet: Packet, *, name: str = "packet", acknowledges: bool = False) -> Template:
    """Compile a Scapy packet that starts at IPv4 or IPv6.

    What varies is looked for by the layer behind: of TCP the ports and the sequence number; of UDP the ports;
    of an SCTP INIT the ports and the initiate tag; of an echo request its identifier and sequence number.
    Checksums are left to the stamper; everything else is taken as it stands.

    Args:
        packet: that one.
        name: what messages call it.
        acknowledges: the number that a TCP segment acknowledges varies too, for answers that reflect it.

    Raises:
        UsageError: naming what keeps this packet from becoming a template.
    """
    network, transport = str(packet.name), str(packet.payload.name)
    version = int(network == "IPv6")
    kind = _TRANSPORTS.get(transport)
    if network not in _FIELDS or kind is None or kind.numbers[version] is None:
        msg = (
            f"{name}: a probe starts with IP or IPv6 and carries TCP, UDP, SCTP or an ICMP echo request, "
            f"whose answers can be told from others; this is {_layers(packet)}"
        )
        raise UsageError(msg)
    _require_question(packet, transport, name)
    varying = {**_FIELDS[network], **kind.fields}
    if acknowledges and transport == "TCP":
        varying[Field.ACKNOWLEDGEMENT] = _ACKNOWLEDGEMENT
    base = packet.copy()
    checksums = [_Varying(transport, kind.checksum or "chksum", 0, _ones(kind))]
    if network == "IP":
        checksums.append(_Varying("IP", "chksum", 0, 0xFFFF))
    for where in (*varying.values(), *checksums):
        _set(base, where, where.zeros, name)
    built = bytes(base)
    places = {field: _place(base, built, where, name) for field, where in varying.items()}
    header = (built[0] & 0x0F) * 4 if network == "IP" else _IPV6_HEADER
    if places[Field.SOURCE_PORT][0] != header + kind.begins:
        msg = f"{name}: {transport} does not begin where the {network} header says it ends"
        raise UsageError(msg)
    offset = _place(base, built, checksums[0], name)[0]
    sums = [
        Checksum(offset=_place(base, built, each, name)[0], start=0, stop=header) for each in checksums[1:]
    ]
    if kind.checksum is None:
        return Template(packet=built, fields=places, checksums=tuple(sums), crc32c=(offset, header))
    sums.append(
        Checksum(
            offset=offset,
            start=header,
            stop=len(built),
            constant=((kind.numbers[version] or 0) + len(built) - header) if kind.pseudo_header else 0,
            pseudo_header=kind.pseudo_header,
            zero_means_none=transport == "UDP",
        )
    )
    return Template(packet=built, fields=places, checksums=tuple(sums))


def _ones(kind: _Transport) -> int:
    return 0xFFFFFFFF if kind.checksum is None else 0xFFFF


def _require_question(packet: Packet, transport: str, name: str) -> None:
    """Raise UsageError for a packet of a kind that has answers, and is itself none that asks."""
    if transport == "SCTP" and packet.payload.payload.name != _INIT:
        msg = f"{name}: an SCTP probe begins with an INIT chunk, whose tag an answer repeats"
        raise UsageError(msg)
    if transport == "ICMP" and packet.payload.type != _ECHO:
        msg = f"{name}: of ICMP messages only an echo request says which answer is its own"
        raise UsageError(msg)


_ECHO = 8


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
