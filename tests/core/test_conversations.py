"""Conversations, from exchanges that Scapy builds, and held against tshark."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from scanner.capture import open_capture
from scanner.capture.pcap import read_pcap
from scanner.core.addresses import format_addresses
from scanner.core.conversation_packets import IDLE
from scanner.core.conversation_split import COPY
from scanner.core.conversations import Conversation, Conversations
from scanner.core.decode import decode_untrusted
from scanner.core.packets import Decoded
from scanner.model import Protocol, Service

RAW = 101
CLIENT, SERVER = "10.0.0.1", "10.50.3.4"
START = 1_700_000_000_000_000_000
MS, SECOND = 1_000_000, 1_000_000_000
ISN, PEER = 1_000_000, 0xFFFF_FFF0  # the server's numbers wrap soon

Timed = tuple[int, Packet]


def ports(*asked: int) -> np.ndarray:
    mask = np.zeros(1 << 16, dtype=np.bool_)
    mask[list(asked)] = True
    return mask


def decoded(packets: Iterable[Timed]) -> Decoded:
    """Packets, each at its nanoseconds after START, as the decoder gives them."""
    timed = [(START + at, bytes(packet)) for at, packet in packets]
    frames = [frame for _, frame in timed]
    lengths = np.array([len(frame) for frame in frames], dtype=np.int64)
    times = np.array([time for time, _ in timed], dtype=np.int64)
    buffer = np.frombuffer(b"".join(frames), dtype=np.uint8)
    found = decode_untrusted(buffer, np.cumsum(lengths) - lengths, lengths, times, RAW)
    assert not found.unread
    return found


def every_ms(packets: Iterable[Packet]) -> list[Timed]:
    return [(index * MS, packet) for index, packet in enumerate(packets)]


def collected(*lots: Sequence[Timed], asked: Sequence[int] = (401,), **limits: int) -> Conversations:
    conversations = Conversations(ports(*asked), **limits)
    for lot in lots:
        conversations.add(decoded(lot))
    return conversations


def found(*lots: Sequence[Timed], asked: Sequence[int] = (401,)) -> list[Conversation]:
    """The conversations of some packets that are given lot by lot."""
    conversations = collected(*lots, asked=asked)
    listed = list(conversations.finish(format_addresses))
    assert len(listed) == len(conversations) == conversations.tally().total()
    assert {one.state: 0 for one in listed}.keys() == conversations.tally().keys()
    return listed


def one(*packets: Packet, asked: Sequence[int] = (401,)) -> Conversation:
    [conversation] = found(every_ms(packets), asked=asked)
    return conversation


def out(flags: str, seq: int = ISN, data: bytes = b"", port: int = 50000) -> Packet:
    packet = IP(src=CLIENT, dst=SERVER) / TCP(sport=port, dport=401, flags=flags, seq=seq % (1 << 32))
    return packet / Raw(data) if data else packet


def back(flags: str, seq: int = PEER, data: bytes = b"", port: int = 50000) -> Packet:
    packet = IP(src=SERVER, dst=CLIENT) / TCP(sport=401, dport=port, flags=flags, seq=seq % (1 << 32))
    return packet / Raw(data) if data else packet


def ask(data: bytes = b"", port: int = 50000) -> Packet:
    return IP(src=CLIENT, dst=SERVER) / UDP(sport=port, dport=401) / Raw(data)


def answer(data: bytes = b"", port: int = 50000) -> Packet:
    return IP(src=SERVER, dst=CLIENT) / UDP(sport=401, dport=port) / Raw(data)


HANDSHAKE = [out("S"), back("SA"), out("A", ISN + 1)]
FINS = [out("FA", ISN + 1), back("FA", PEER + 1), out("A", ISN + 2)]

STATES = {
    "syn-only": [
        [out("S")],
        [out("S"), out("S")],
        [out("S"), out("R", ISN + 1)],
        [out("S"), back("A", 7), out("R", 8)],
    ],
    "refused": [[out("S"), back("RA", 0)], [out("S"), out("S"), back("RA", 0), back("RA", 0)]],
    "half-open": [
        [out("S"), back("SA")],
        [out("S"), back("SA"), back("SA")],
        [out("S"), back("SA"), out("R", ISN + 1)],
        [out("S"), back("SA"), out("RA", ISN + 1)],
        [out("S"), back("SA"), back("R", PEER + 1)],
        [back("SA"), out("R", ISN + 1)],
        [out("S"), back("S"), out("R", ISN + 1)],
    ],
    "established": [
        HANDSHAKE,
        [*HANDSHAKE, out("PA", ISN + 1, b"x")],
        [*HANDSHAKE, out("FA", ISN + 1)],
        [out("S"), out("A", ISN + 1)],  # of one direction only, as are the next two
        [back("SA"), back("PA", PEER + 1, b"banner")],
        [back("SA"), back("PA", PEER + 1, b"banner"), back("FA", PEER + 7)],
        [out("S"), back("S"), out("SA"), back("A", PEER + 1)],  # split handshake
        [out("S"), back("S"), out("SA"), back("SA")],  # simultaneous open
    ],
    "closed": [
        [*HANDSHAKE, *FINS],
        [*HANDSHAKE, *FINS, out("R", ISN + 2)],
        [*HANDSHAKE, back("FPA", PEER + 1, b"bye"), out("FA", ISN + 1)],
    ],
    "reset": [
        [*HANDSHAKE, out("RA", ISN + 1)],
        [*HANDSHAKE, back("R", PEER + 1)],
        [*HANDSHAKE, out("FA", ISN + 1), back("R", PEER + 1)],
    ],
    "mid-stream": [
        [out("A")],
        [out("PA", ISN, b"x"), back("PA", PEER, b"y")],
        [out("FA"), back("FA"), out("A", ISN + 1)],
        [back("RA", 0)],
        [out("A"), back("R", 0)],
    ],
}


@pytest.mark.parametrize(
    ("state", "packets"), [(state, packets) for state, listed in STATES.items() for packets in listed]
)
def test_tcp_states(state: str, packets: list[Packet]) -> None:
    conversation = one(*packets)
    assert conversation.state.value == state
    assert (conversation.client, conversation.client_port) == (CLIENT, 50000)
    assert (conversation.server, conversation.server_port) == (SERVER, 401)


def test_a_conversation_in_full() -> None:
    conversation = one(
        *HANDSHAKE, out("PA", ISN + 1, b"GET /\r\n"), back("PA", PEER + 1, b"\x1b[2J\\"), *FINS
    )
    assert conversation == Conversation(
        client=CLIENT,
        client_port=50000,
        server=SERVER,
        server_port=401,
        proto=Protocol.TCP,
        start="2023-11-14T22:13:20.000000Z",
        end="2023-11-14T22:13:20.007000Z",
        state=conversation.state,
        packets_out=5,
        packets_in=3,
        bytes_out=7,
        bytes_in=5,
        first_out="GET /\\x0d\\x0a",
        first_in="\\x1b[2J\\\\",
    )
    assert (conversation.service, conversation.tunnel) == (None, None)


def test_what_is_made_of_the_first_bytes_is_told_of_tcp_servers_that_said_something() -> None:
    heard: list[tuple[int, bytes, bytes]] = []

    def recognise(port: int, asked: bytes, said: bytes) -> Service | None:
        heard.append((port, asked, said))
        return Service(name="greeter", confidence=1.0, evidence=said.decode())

    talk = [*HANDSHAKE, out("PA", ISN + 1, b"VER\n"), back("PA", PEER + 1, b"\x1b[2J\\"), *FINS]
    silent = [out("S", port=50001), out("A", ISN + 1, b"x", port=50001)]
    conversations = collected(every_ms([*talk, *silent, ask(b"hello"), answer(b"you")]))
    services = [each.service for each in conversations.finish(format_addresses, recognise)]
    assert heard == [(401, b"VER\n", b"\x1b[2J\\")]
    assert services == [Service(name="greeter", confidence=1.0, evidence="\x1b[2J\\"), None, None]


def test_udp_states_and_bytes() -> None:
    lone = one(ask(b"hello"), ask(b"hello"))
    assert (lone.state.value, lone.proto, lone.packets_out, lone.bytes_out) == ("one-way", "udp", 2, 10)
    both = one(ask(b""), answer(b"\x00ab"), answer(b"second"))
    assert (both.state.value, both.packets_in, both.bytes_out, both.bytes_in) == ("two-way", 2, 0, 9)
    assert (both.first_out, both.first_in) == ("", "\\x00ab")


def test_the_first_bytes_of_udp_are_those_of_the_first_datagram_that_has_any() -> None:
    conversation = one(ask(b""), ask(b"first" * 20), ask(b"second"))
    assert conversation.first_out == ("first" * 20)[:64]


def test_only_asked_ports_on_either_side_matter() -> None:
    other = IP(src=CLIENT, dst=SERVER) / TCP(sport=50000, dport=402, flags="S")
    assert found(every_ms([other])) == []
    assert [one.server_port for one in found(every_ms([other, out("S")]), asked=(402,))] == [402]
    worm = IP(src=CLIENT, dst=SERVER) / TCP(sport=401, dport=80, flags="S")
    [conversation] = found(every_ms([worm]))
    assert (conversation.client_port, conversation.server_port) == (401, 80)


@pytest.mark.parametrize(
    ("packets", "asked", "client"),
    [
        ([back("S")], (401,), SERVER),  # who sent the SYN
        ([back("A")], (401,), CLIENT),  # whose port is not asked about
        ([back("A")], (401, 50000), SERVER),  # who spoke first
        ([out("A")], (401, 50000), CLIENT),
        ([back("SA")], (401, 50000), CLIENT),  # who was answered
        ([back("A"), back("SA")], (401, 50000), CLIENT),
        ([answer(b"x")], (401,), SERVER),
        ([answer(b"x"), ask(b"y")], (401,), SERVER),
    ],
)
def test_who_the_client_is(packets: list[Packet], asked: tuple[int, ...], client: str) -> None:
    assert one(*packets, asked=asked).client == client


def test_an_end_that_talks_to_itself_is_one_way() -> None:
    land = IP(src=CLIENT, dst=CLIENT) / TCP(sport=401, dport=401, flags="S")
    conversation = one(land, land)
    assert (conversation.client, conversation.server) == (CLIENT, CLIENT)
    assert (conversation.packets_out, conversation.packets_in) == (2, 0)


# --- one conversation or two ------------------------------------------------------------------

NEXT = ISN + 5_000_000


@pytest.mark.parametrize(
    ("packets", "states"),
    [
        # The same four numbers are used again, after the end or without one.
        ([*HANDSHAKE, *FINS, out("S", NEXT), back("RA", 0)], ["closed", "refused"]),
        ([*HANDSHAKE, out("S", NEXT)], ["established", "syn-only"]),
        ([out("S"), out("S", NEXT), back("SA")], ["syn-only", "half-open"]),
        ([out("S"), back("RA", 0), out("S", NEXT), back("RA", 0)], ["refused", "refused"]),
        ([out("A"), out("S", NEXT), back("SA")], ["mid-stream", "half-open"]),
        # The server connects back.
        ([out("S"), back("RA", 0), back("S"), out("RA", 0)], ["refused", "refused"]),
        ([*HANDSHAKE, back("S", NEXT)], ["established", "syn-only"]),
        # Copies are none.
        ([out("S"), out("S"), back("SA"), back("SA"), out("S"), out("A", ISN + 1)], ["established"]),
        ([out("S"), back("RA", 0), out("S"), back("RA", 0)], ["refused"]),
        ([out("S"), back("S"), out("S"), back("S"), out("SA"), back("SA")], ["established"]),
    ],
)
def test_where_a_conversation_begins(packets: list[Packet], states: list[str]) -> None:
    assert [conversation.state.value for conversation in found(every_ms(packets))] == states
    assert [
        conversation.state.value for conversation in found(*([one] for one in every_ms(packets)))
    ] == states


def test_the_server_that_connects_back_is_the_client_of_that() -> None:
    first, second = found(every_ms([out("S"), back("RA", 0), back("S"), out("RA", 0)]))
    assert (first.client, second.client) == (CLIENT, SERVER)


@pytest.mark.parametrize(("gap", "count"), [(IDLE, 1), (IDLE + 1, 2)])
@pytest.mark.parametrize("packet", [ask(b"x"), out("S")], ids=["datagram", "the same SYN"])
@pytest.mark.parametrize("split", [False, True])
def test_silence_ends_what_has_no_end(gap: int, count: int, packet: Packet, split: bool) -> None:
    packets = [(0, packet), (gap, packet)]
    assert len(found(packets[:1], packets[1:]) if split else found(packets)) == count


@pytest.mark.parametrize(("gap", "count"), [(COPY, 1), (COPY + 1, 2)])
def test_the_same_syn_after_a_reset_is_a_copy_for_a_while(gap: int, count: int) -> None:
    packets = [(0, out("S")), (MS, back("RA", 0)), (MS + gap, out("S")), (2 * MS + gap, back("RA", 0))]
    assert len(found(packets)) == len(found(packets[:3], packets[3:])) == count


def test_silence_does_not_end_a_connection() -> None:
    packets = [
        *every_ms(HANDSHAKE),
        (IDLE * 100, out("PA", ISN + 1, b"x")),
        (IDLE * 200, back("A", PEER + 1)),
    ]
    [conversation] = found(packets)
    assert (conversation.packets_out, conversation.packets_in) == (3, 2)


@pytest.mark.parametrize("split", [False, True])
def test_what_comes_late_finds_its_place(split: bool) -> None:
    """A packet put together from fragments, say: its time is older than what came before it."""
    packets = [(MS, back("RA", 0)), (0, out("S"))]
    [conversation] = found(*([one] for one in packets)) if split else found(packets)
    assert (conversation.state.value, conversation.client) == ("refused", CLIENT)
    assert conversation.start is not None
    assert conversation.end is not None
    assert conversation.start < conversation.end


def test_order_is_of_start_time_over_both_transports() -> None:
    packets = [(5 * MS, out("S")), (3 * MS, ask(b"x")), (4 * MS, out("S", port=9)), (6 * MS, answer(b"x"))]
    assert [(one.proto.value, one.client_port) for one in found(packets)] == [
        ("udp", 50000),
        ("tcp", 9),
        ("tcp", 50000),
    ]


def test_tunnels_are_kept_apart() -> None:
    conversations = Conversations(ports(401))
    packets = decoded(every_ms([out("S"), back("RA", 0), ask(b"x")]))
    conversations.add(packets)
    packets.tcp.ip.tunnel[:] = packets.udp.ip.tunnel[:] = 7
    conversations.add(packets)
    listed = list(conversations.finish(format_addresses))
    assert sorted((one.proto.value, one.tunnel or 0, one.packets_out) for one in listed) == [
        ("tcp", 0, 1),
        ("tcp", 7, 1),
        ("udp", 0, 1),
        ("udp", 7, 1),
    ]


# --- bytes ------------------------------------------------------------------------------------


def test_bytes_sent_again_count_once_and_packets_each_time() -> None:
    data = out("PA", ISN + 1, b"x" * 100)
    conversation = one(*HANDSHAKE, data, data, out("PA", ISN + 51, b"x" * 100))
    assert (conversation.bytes_out, conversation.packets_out) == (150, 5)


def test_data_in_the_syn_count_and_come_first() -> None:
    conversation = one(
        out("S", ISN, b"early "),
        back("SA", PEER, b"reply"),
        out("PA", ISN + 7, b"late"),
        out("S", ISN, b"early "),
    )
    assert (conversation.bytes_out, conversation.first_out) == (10, "early late")
    assert (conversation.bytes_in, conversation.first_in) == (5, "reply")


def test_out_of_order_data_are_put_in_order() -> None:
    conversation = one(*HANDSHAKE, out("PA", ISN + 6, b"world"), out("PA", ISN + 1, b"hello"))
    assert (conversation.bytes_out, conversation.first_out) == (10, "helloworld")
    middle = one(out("PA", ISN + 5, b"world"), out("PA", ISN, b"hello"))
    assert (middle.bytes_out, middle.first_out) == (10, "helloworld")


def test_what_is_missing_is_not_made_up() -> None:
    conversation = one(*HANDSHAKE, out("PA", ISN + 1, b"abc"), out("PA", ISN + 10, b"xyz"))
    assert (conversation.bytes_out, conversation.first_out) == (6, "abc")
    conversation = one(*HANDSHAKE, out("PA", ISN + 2000, b"later"))
    assert (conversation.bytes_out, conversation.first_out) == (5, "later")


def test_the_first_of_two_texts_for_one_place_stays() -> None:
    conversation = one(*HANDSHAKE, out("PA", ISN + 3, b"real"), out("PA", ISN + 1, b"forged?"))
    assert conversation.first_out == "foreal?"


def test_bytes_before_the_first_are_no_part_of_the_stream() -> None:
    """The garbage byte of a keep-alive (RFC 9293, 3.8.4), or a decoy."""
    conversation = one(
        *HANDSHAKE, out("A", ISN, b"?"), out("A", ISN - 500, b"decoy"), out("PA", ISN + 1, b"true")
    )
    assert conversation.first_out == "true"
    assert conversation.bytes_out == 4


def test_a_reset_says_nothing() -> None:
    conversation = one(*HANDSHAKE, back("R", PEER + 1, b"go away"))
    assert (conversation.bytes_in, conversation.first_in) == (0, "")


def test_streams_longer_than_sequence_space_are_measured() -> None:
    step = 1 << 30
    sent = decoded(every_ms([out("S"), *(out("A", ISN + 1 + index * step, b"x") for index in range(9))]))
    sent.tcp.size[1:] = step
    conversations = Conversations(ports(401))
    conversations.add(sent)
    [conversation] = conversations.finish(format_addresses)
    assert conversation.bytes_out == 9 * step


@given(
    numbers=st.lists(
        st.one_of(st.integers(0, 2**32 - 1), st.integers(-3, 3).map(lambda near: ISN + near * 2**31)),
        min_size=1,
        max_size=12,
    ),
    with_syn=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_made_up_numbers_make_no_bytes(numbers: list[int], with_syn: bool) -> None:
    packets = [out("S")] if with_syn else []
    packets += [out("PA", number, b"12345") for number in numbers]
    conversation = one(*packets)
    assert 0 <= conversation.bytes_out <= 5 * len(numbers)


@given(
    data=st.binary(min_size=1, max_size=300),
    cuts=st.lists(st.integers(0, 300), max_size=12),
    seed=st.integers(0, 2**32),
    isn=st.sampled_from([0, ISN, 2**31 - 20, 2**32 - 1, 2**32 - 40]),
    with_syn=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_stream_in_any_pieces_and_order(
    data: bytes, cuts: list[int], seed: int, isn: int, with_syn: bool
) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [(begin, data[begin:end]) for begin, end in pairwise(edges)]
    shuffled = random.Random(seed)
    pieces += shuffled.choices(pieces, k=3)
    shuffled.shuffle(pieces)
    packets = [out("S", isn)] if with_syn else []
    packets += [out("PA", isn + 1 + begin, text) for begin, text in pieces]
    timed = every_ms(packets)
    half = len(timed) // 2
    [whole] = found(timed)
    assert found(timed[:half], timed[half:]) == [whole]
    assert whole.bytes_out == len(data)
    assert unescaped(whole.first_out) == data[:64]


def unescaped(text: str) -> bytes:
    assert text.isascii()
    assert text.isprintable()
    return text.encode().decode("unicode_escape").encode("latin-1")


def test_what_was_not_captured_is_counted_and_not_shown() -> None:
    packets = decoded(every_ms([*HANDSHAKE, out("PA", ISN + 1, b"x" * 100), ask(b"y" * 100)]))
    packets.tcp.captured[-1] = 3
    packets.udp.captured[0] = 0
    conversations = Conversations(ports(401))
    conversations.add(packets)
    tcp, udp = conversations.finish(format_addresses)
    assert (tcp.bytes_out, tcp.first_out) == (100, "xxx")
    assert (udp.bytes_out, udp.first_out) == (100, "")


# --- lots, and room ---------------------------------------------------------------------------

FLAGS = ["S", "SA", "A", "PA", "FA", "R", "RA", "SF", "SR", "", "SFRPA"]
NUMBERS = st.sampled_from([0, 1, 2, 50, 2**31, 2**31 + 1, 2**32 - 1, ISN])


@st.composite
def traffic(draw: st.DrawFn) -> list[Timed]:
    packets: list[Timed] = []
    now = 0
    for _ in range(draw(st.integers(1, 25))):
        now += draw(st.sampled_from([0, MS, 900 * MS, 2 * SECOND, 121 * SECOND]))
        data = draw(st.sampled_from([b"", b"a", b"bcdefgh", bytes(range(70))]))
        port = draw(st.sampled_from([401, 50000]))
        if draw(st.integers(0, 4)) == 0:
            packets.append((now, draw(st.sampled_from([ask, answer]))(data, port)))
        else:
            side = draw(st.sampled_from([out, back]))
            packets.append((now, side(draw(st.sampled_from(FLAGS)), draw(NUMBERS), data, port)))
    return packets


@given(packets=traffic(), cuts=st.sets(st.integers(1, 24)))
@settings(max_examples=150, deadline=None)
def test_one_by_one_is_as_good_as_all_at_once(packets: list[Timed], cuts: set[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(packets)), len(packets)]
    whole = found(packets)
    assert found(*([packet] for packet in packets)) == whole
    assert found(*(packets[begin:end] for begin, end in pairwise(edges))) == whole
    assert sum(one.packets_out + one.packets_in for one in whole) == len(packets)


@pytest.mark.parametrize("split", [False, True])
def test_conversations_have_a_bound(split: bool) -> None:
    # The third conversation, of the first flow again, finds no room: nor does what follows it.
    packets = every_ms(
        [
            out("S", port=1), out("S", port=2), back("RA", 0, port=2), out("S", NEXT, port=1),
            out("S", port=3), back("SA", port=1), out("S", NEXT + 1, port=1), back("RA", 0, port=2),
        ]
    )  # fmt: skip
    lots = [[packet] for packet in packets] if split else [packets]
    conversations = collected(*lots, most=2)
    assert conversations.left_out == 4
    assert len(conversations) == 2
    kept = list(conversations.finish(format_addresses))
    assert [(one.client_port, one.packets_out, one.packets_in) for one in kept] == [(1, 1, 0), (2, 1, 2)]


@pytest.mark.parametrize("split", [False, True])
def test_what_was_said_has_a_bound(split: bool) -> None:
    packets = every_ms(
        [
            out("PA", ISN, b"one", port=2), out("PA", ISN, b"two", port=1), out("PA", ISN + 3, b"!", port=2),
            out("PA", ISN, b"two", port=1),
        ]
    )  # fmt: skip
    lots = [[packet] for packet in packets] if split else [packets]
    conversations = collected(*lots, most_streams=1)
    assert conversations.unheard == 1
    kept = list(conversations.finish(format_addresses))
    assert [(one.client_port, one.first_out, one.bytes_out) for one in kept] == [(2, "one!", 4), (1, "", 6)]


def test_many_flows_between_few_hosts() -> None:
    flows = [(port, lot) for lot in range(3) for port in random.Random(lot).sample(range(1, 400), 300)]
    lots = [every_ms(out("S", port=port) for port, of in flows if of == lot) for lot in range(3)]
    listed = found(*lots)
    counts = {port: sum(port == one for one, _ in flows) for port, _ in flows}
    assert {one.client_port: one.packets_out for one in listed} == counts
    assert len(listed) == len(counts)


def test_nothing_makes_no_conversation() -> None:
    conversations = Conversations(ports(401))
    assert list(conversations.finish(format_addresses)) == []
    assert conversations.tally() == {}


# --- tshark -----------------------------------------------------------------------------------

CASES = Path(__file__).parents[2] / "pcaps"
tshark_needed = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
Ends = frozenset[tuple[str, int, int]]


def tshark(*arguments: str | Path) -> str:
    command = ["tshark", "-n", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def streams(capture: Path, proto: str) -> Counter[Ends]:
    """What tshark takes for a stream: address, port and packets of each end."""
    fields = [f"{proto}.stream", "ip.src", f"{proto}.srcport", "ip.dst", f"{proto}.dstport"]
    listed = [argument for field in fields for argument in ("-e", field)]
    lines = tshark("-r", capture, "-Y", f"{proto}.port == 401 and not icmp", "-T", "fields", *listed)
    counts: dict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    for line in lines.splitlines():
        stream, source, source_port, target, target_port = line.split("\t")
        counts[stream].update({(source, int(source_port)): 1, (target, int(target_port)): 0})
    return Counter(frozenset((*end, count) for end, count in stream.items()) for stream in counts.values())


@tshark_needed
@pytest.mark.parametrize(
    "case",
    ["nmap-connect", "nmap-tcp", "masscan", "zmap", "several-ports", "duplicates", "fast-open", "open-udp"],
)
def test_recorded_packets_are_counted_as_tshark_counts_them(case: str) -> None:
    capture = CASES / case / "capture.pcap"
    conversations = Conversations(ports(401))
    for frames in open_capture(capture):
        conversations.add(
            decode_untrusted(frames.buffer, frames.starts, frames.lengths, frames.times, frames.link_type)
        )
    listed = list(conversations.finish(format_addresses))
    for proto in ("tcp", "udp"):
        ours = Counter(
            frozenset(
                {
                    (one.client, one.client_port, one.packets_out),
                    (one.server, one.server_port, one.packets_in),
                }
            )
            for one in listed
            if one.proto.value == proto
        )
        assert ours == streams(capture, proto)
    assert listed


@tshark_needed
@pytest.mark.parametrize("seed", range(4))
def test_streams_are_as_tshark_follows_them(seed: int, tmp_path: Path) -> None:
    """Pieces in disorder, some of them twice, both ways."""
    shuffled = random.Random(seed)
    said = {side: shuffled.randbytes(shuffled.randint(1, 3000)) for side in (out, back)}
    segments = []
    for side, first in ((out, ISN + 1), (back, PEER + 1)):
        pieces = [(at, said[side][at : at + 70]) for at in range(0, len(said[side]), 70)]
        pieces += shuffled.choices(pieces, k=5)
        segments += [side("PA", first + at, text) for at, text in pieces]
    shuffled.shuffle(segments)
    for packet in segments:
        packet[TCP].ack = PEER + 1 if packet[IP].src == CLIENT else ISN + 1
    capture = tmp_path / "capture.pcap"
    wrpcap(str(capture), [*HANDSHAKE, *segments], linktype=RAW)
    conversations = Conversations(ports(401))
    with capture.open("rb") as stream:
        for frames in read_pcap(stream, "capture"):
            conversations.add(
                decode_untrusted(frames.buffer, frames.starts, frames.lengths, frames.times, frames.link_type)
            )
    [conversation] = conversations.finish(format_addresses)
    followed = tshark("-r", capture, "-q", "-z", "follow,tcp,raw,0").splitlines()
    lines = [line for line in followed if line.strip() and set(line.strip()) <= set("0123456789abcdef")]
    for side, prefix in ((out, False), (back, True)):
        text = bytes.fromhex("".join(line.strip() for line in lines if line.startswith("\t") == prefix))
        assert text == said[side]
    assert (conversation.bytes_out, conversation.bytes_in) == (len(said[out]), len(said[back]))
    assert unescaped(conversation.first_out) == said[out][:64]
    assert unescaped(conversation.first_in) == said[back][:64]
