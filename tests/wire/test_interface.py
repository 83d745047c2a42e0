from __future__ import annotations

import socket
import time

import pytest

from scanner.lab import namespaces
from scanner.model import WireError
from scanner.wire.interface import LINKTYPE_ETHERNET, LINKTYPE_RAW, Interface, describe_interface, require_up


def interface(hardware_type: int) -> Interface:
    return Interface(name="x0", index=1, hardware_type=hardware_type, mac=b"\0" * 6, mtu=1500)


@pytest.mark.parametrize(
    ("hardware_type", "link_type", "header_length"),
    [
        (1, LINKTYPE_ETHERNET, 14),
        (772, LINKTYPE_ETHERNET, 14),
        (65534, LINKTYPE_RAW, 0),
        (512, LINKTYPE_RAW, 0),
        (768, LINKTYPE_RAW, 0),
        (769, LINKTYPE_RAW, 0),
        (776, LINKTYPE_RAW, 0),
    ],
)
def test_the_hardware_type_says_what_frames_look_like(
    hardware_type: int, link_type: int, header_length: int
) -> None:
    assert interface(hardware_type).link_type == link_type
    assert interface(hardware_type).header_length == header_length


def test_an_unknown_link_layer_is_named() -> None:
    with pytest.raises(WireError, match="x0 has link layer type 32"):
        _ = interface(32).link_type


def test_loopback_is_described() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        lo = describe_interface(sock, "lo")
    assert (lo.name, lo.index, lo.hardware_type, lo.mac) == (
        "lo",
        socket.if_nametoindex("lo"),
        772,
        b"\0" * 6,
    )
    assert lo.mtu >= 1500


@pytest.mark.parametrize("name", ["ghost99", "", "x" * 16, "a/b", "\udcff"])
def test_an_interface_that_is_not_there_is_named(name: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(WireError) as caught:
        describe_interface(sock, name)
    assert "\n" not in str(caught.value)
    assert "interface" in str(caught.value)


@pytest.mark.lab
def test_answers_come_from_the_namespace_the_socket_was_made_in(veth) -> None:
    with namespaces.entered(veth.near):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        near = describe_interface(sock, "near")
    assert (near.hardware_type, near.mac, near.mtu) == (1, veth.near_mac, 1500)


@pytest.mark.lab
def test_down_and_without_a_carrier_are_told_apart(veth) -> None:
    with namespaces.entered(veth.near):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        require_up(sock, "near")
        namespaces.ip_batch(veth.far, ["link set far down"])

        def ask_for_a_while() -> None:
            for _ in range(300):  # the kernel may take a second to look at it (net/core/link_watch.c)
                require_up(sock, "near")
                time.sleep(0.01)

        with pytest.raises(WireError, match="near has no carrier"):
            ask_for_a_while()
        namespaces.ip_batch(veth.near, ["link set near down"])
        with pytest.raises(WireError, match="near is down"):
            require_up(sock, "near")
        namespaces.ip_batch(veth.near, ["link delete near"])
        with pytest.raises(WireError, match="no interface near"):
            require_up(sock, "near")
