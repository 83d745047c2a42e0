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
