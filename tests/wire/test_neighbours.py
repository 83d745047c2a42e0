from __future__ import annotations

from scanner.wire.neighbours import parse_neighbours

# iproute2 6.1
TABLE = """[{"dst":"10.1.0.8","dev":"e0","lladdr":"02:00:00:00:00:08","state":["STALE"]},
{"dst":"10.1.0.7","dev":"e0","state":["FAILED"]},{"dst":"10.1.0.6","dev":"e0","lladdr":"02:00:00:00:00:06",
"state":["FAILED"]},{"dst":"10.1.0.9","dev":"e1","lladdr":"02:00:00:00:00:09","state":["PERMANENT"]},
{"dst":"fd00::1","dev":"e0","lladdr":"02:00:00:00:00:0a","state":["STALE"]},
{"dst":"10.1.0.5","dev":"ib0","lladdr":"80:00:02:08:fe:80:00:00:00:00:00:00:f4:52:14:03:00:7b:cb:a1",
"state":["STALE"]}]"""


def test_the_table_is_read_where_an_address_is_known() -> None:
    assert parse_neighbours(TABLE, 4) == {
        ("e0", 0x0A010008): bytes.fromhex("020000000008"),
        ("e1", 0x0A010009): bytes.fromhex("020000000009"),
    }


def test_an_empty_table_is_empty() -> None:
    assert parse_neighbours("", 4) == {}
    assert parse_neighbours("[]", 6) == {}


def test_both_versions_may_be_in_a_table() -> None:
    assert parse_neighbours(TABLE, 6) == {("e0", 0xFD00 << 112 | 1): bytes.fromhex("02000000000a")}


def test_link_local_neighbours_are_there_once_for_each_interface() -> None:
    table = """[{"dst":"fe80::1","dev":"e0","lladdr":"02:00:00:00:00:01","router":null,"state":["REACHABLE"]},
    {"dst":"fe80::1","dev":"e1","lladdr":"02:00:00:00:00:02","state":["STALE"]},
    {"dst":"fe80::2","dev":"e1","state":["INCOMPLETE"]}]"""
    router = 0xFE80 << 112 | 1
    assert parse_neighbours(table, 6) == {
        ("e0", router): bytes.fromhex("020000000001"),
        ("e1", router): bytes.fromhex("020000000002"),
    }
