from __future__ import annotations

import pytest

from scanner.model import UsageError
from scanner.wire.links import Link, parse_links, parse_mac, require_interface

# iproute2 6.1, shortened
LINKS = """[{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,
"link_type":"loopback","address":"00:00:00:00:00:00","broadcast":"00:00:00:00:00:00"},{"ifindex":3,"link":"e1","ifname":"e0",
"flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1500,"link_type":"ether",
"address":"c2:f2:78:e4:fa:3f","broadcast":"ff:ff:ff:ff:ff:ff"},{"ifindex":4,"ifname":"tun7",
"flags":["POINTOPOINT","MULTICAST","NOARP","UP"],"mtu":1400,"link_type":"none"}]"""


def test_only_ethernet_has_a_hardware_address() -> None:
    assert parse_links(LINKS) == {
        "lo": Link("lo", "loopback", None, 65536),
        "e0": Link("e0", "ether", bytes.fromhex("c2f278e4fa3f"), 1500),
        "tun7": Link("tun7", "none", None, 1400),
    }


@pytest.mark.parametrize("text", [None, "", "80:00:02:08:fe:80:00:00", "10.0.0.1", "c2:f2:78:e4:fa"])
def test_what_is_no_ethernet_address_is_none(text: object) -> None:
    assert parse_mac(text) is None


def test_an_unknown_interface_is_refused_with_those_there_are() -> None:
    links = parse_links(LINKS)
    require_interface("e0", links)
    with pytest.raises(UsageError, match=r"no interface 'eth9'; there are: e0, lo, tun7"):
        require_interface("eth9", links)
