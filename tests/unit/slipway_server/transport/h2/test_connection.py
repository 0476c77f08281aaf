"""The state machine: requests in any cut, rules of the RFC, floods, and ends that lose nothing.

h2spec holds the rules as a whole (``tests/edges/server/test_http2_clients.py``); here is what it
does not ask for.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway_server.transport.h2 import frames, hpack
from slipway_server.transport.h2.connection import CONNECTION_WINDOW, DRAIN_PING, STREAM_WINDOW
from slipway_server.transport.h2.credit import Credit
from slipway_server.transport.h2.frames import Code
from tests.support import h2
from tests.support.h2 import Peer, Recorder

TALK = b"".join(
    (
        h2.HELLO,
        h2.call(1, b"a" * 40),
        h2.headers(3),
        frames.ping(b"12345678", ack=False),
        h2.data(3, b"b" * 300, pad=7),
        frames.frame(frames.HEADERS, 0, 5, hpack.encode(h2.call_fields())[:9]),
        frames.frame(
            frames.CONTINUATION, frames.END_HEADERS, 5, hpack.encode(h2.call_fields())[9:]
        ),
        h2.data(3, b"", end=True, pad=0),
        frames.frame(77, 3, 0, b"unknown"),
        frames.rst_stream(5, Code.CANCEL),
        h2.headers(7, end=True),
        frames.settings({frames.INITIAL_WINDOW_SIZE: 10}),
    )
)


def pieces(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@given(st.lists(st.integers(0, len(TALK)), max_size=30))
def test_any_cut_of_the_bytes_means_the_same(places: list[int]) -> None:
    whole = Peer(hello=False).send(TALK)
    parts = Peer(hello=False).send(*pieces(TALK, places))
    assert (whole.seen.events, whole.seen.bodies) == (parts.seen.events, parts.seen.bodies)
    assert whole.sent() == parts.sent()
    assert whole.seen.events == [
        ("request", 1), ("end", 1), ("request", 3), ("request", 5), ("end", 3), ("reset", 5),
        ("request, no body", 7),
    ]  # fmt: skip
    assert whole.seen.bodies[1] == h2.message(b"a" * 40)
    assert whole.seen.bodies[3] == b"b" * 300


def test_a_large_frame_is_handed_on_before_it_is_whole() -> None:
    peer = Peer().send(h2.headers(1), h2.data(1, bytes(16_000))[:5000])
    assert len(peer.seen.bodies[1]) == 5000 - frames.HEAD_SIZE


def test_blocks_that_repeat_share_what_was_made_of_them() -> None:
    peer = Peer().send(h2.call(1), h2.call(3))
    assert peer.seen.requests[1].headers is peer.seen.requests[3].headers
    added = b"\x40\x01a\x01b"  # a new entry in the table: what was known is looked at again
    peer.send(frames.frame(1, 5, 5, hpack.encode(h2.call_fields()) + added), h2.call(7))
    assert peer.seen.requests[7].headers is not peer.seen.requests[1].headers


def test_a_block_that_refers_to_the_table_is_read_anew_when_the_table_has_changed() -> None:
    known = hpack.encode(h2.call_fields())
    first, second = b"\x40\x01a\x01b", b"\x40\x01a\x01c"
    newest = b"\xbe"
    peer = Peer()
    for stream, block in enumerate((known + first, known + newest, known + second, known + newest)):
        peer.send(frames.frame(frames.HEADERS, 5, 2 * stream + 1, block))
    values = [dict(peer.seen.requests[n].headers.fields or ())[b"a"] for n in (1, 3, 5, 7)]
    assert values == [b"b", b"b", b"c", b"c"]


# ---- rules


def test_something_else_than_http2_is_told_so() -> None:
    peer = Peer(hello=False).send(b"GET / HTTP/1.1\r\n")
    assert peer.failure() == (Code.PROTOCOL_ERROR, "this port speaks HTTP/2 (gRPC) only")


def test_the_first_frame_has_to_be_settings() -> None:
    peer = Peer(hello=False).send(frames.PREFACE + frames.ping(bytes(8), ack=False))
    assert peer.failure() == (Code.PROTOCOL_ERROR, "the first frame is not SETTINGS")


def test_nothing_is_read_after_a_failure() -> None:
    peer = Peer().send(frames.ping(b"", ack=False), h2.call(1))
    assert (peer.failure() or [None])[0] is Code.FRAME_SIZE_ERROR
    assert peer.seen == Recorder()


def test_streams_over_the_limit_are_refused_so_that_the_client_may_try_again() -> None:
    peer = Peer(streams=2).send(h2.headers(1), h2.headers(3), h2.headers(5), h2.data(5, b"x"))
    assert peer.resets() == {5: Code.REFUSED_STREAM}
    assert list(peer.seen.requests) == [1, 3]


def test_a_body_that_is_not_as_long_as_it_said_is_an_error() -> None:
    fields = h2.call_fields(content_length=b"3")
    peer = Peer().send(h2.headers(1, fields), h2.data(1, b"ab", end=True))
    peer.send(h2.headers(3, fields), h2.data(3, b"abcd"))
    peer.send(h2.headers(5, fields), h2.data(5, b"abc", end=True))
    assert peer.resets() == {1: Code.PROTOCOL_ERROR, 3: Code.PROTOCOL_ERROR}
    assert peer.seen.events[-1] == ("end", 5)


def test_trailers_of_a_request_end_it() -> None:
    peer = Peer().send(h2.headers(1), h2.data(1, b"x"), h2.headers(1, [(b"a", b"b")], end=True))
    assert peer.seen.events == [("request", 1), ("end", 1)]


def test_data_beyond_a_streams_window_resets_the_stream_only() -> None:
    peer = Peer().send(h2.headers(1), h2.headers(3))
    peer.machine.sender.streams[1].recv_left = 10
    peer.send(h2.data(1, bytes(11)), h2.data(3, b"x", end=True))
    assert peer.resets() == {1: Code.FLOW_CONTROL_ERROR}
    assert peer.seen.events[-1] == ("end", 3)


def test_data_beyond_the_connections_window_ends_it() -> None:
    peer = Peer().send(h2.headers(1))
    peer.machine._recv_left = 10
    peer.send(h2.data(1, bytes(11)))
    assert peer.failure() == (Code.FLOW_CONTROL_ERROR, "more data than the window")


def test_windows_are_given_back_in_large_steps() -> None:
    peer = Peer().send(h2.headers(1))
    chunk = h2.data(1, bytes(16_384))
    updates = []
    for _ in range(2 * CONNECTION_WINDOW // 16_384):
        updates += [
            (frame.stream, int.from_bytes(frame.payload))
            for frame in peer.send(chunk).sent()
            if frame.kind == frames.WINDOW_UPDATE
        ]
    mine = [size for stream, size in updates if stream == 1]
    assert set(mine) == {STREAM_WINDOW // 2}
    assert [size for stream, size in updates if stream == 0] == [CONNECTION_WINDOW // 2] * 4


def test_a_stream_that_we_ended_may_still_receive_what_was_under_way() -> None:
    peer = Peer().send(h2.headers(1))
    peer.sender.refuse(peer.seen.requests[1], hpack.encode([(b":status", b"200")]))
    assert peer.resets() == {1: Code.NO_ERROR}
    peer.send(h2.data(1, bytes(100)), h2.headers(1, [(b"a", b"")], end=True), h2.call(3))
    assert peer.failure() is None
    assert peer.seen.events == [("request", 1), ("request", 3), ("end", 3)]


# ---- window games


@pytest.mark.parametrize("stream", [0, 1])
@pytest.mark.parametrize(
    ("increment", "code"), [(0, Code.PROTOCOL_ERROR), (2**31 - 1, Code.FLOW_CONTROL_ERROR)]
)
def test_updates_of_nothing_or_too_much(stream: int, increment: int, code: Code) -> None:
    peer = Peer().send(h2.headers(1), frames.window_update(stream, increment))
    if stream:
        assert peer.resets() == {1: code}
        assert peer.seen.events[-1] == ("reset", 1)
    else:
        assert (peer.failure() or [None])[0] is code


def test_settings_that_push_a_window_over_the_maximum() -> None:
    peer = Peer().send(h2.headers(1), frames.window_update(1, 2**31 - 1 - 65_535))
    peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 65_536}))
    assert (peer.failure() or [None])[0] is Code.FLOW_CONTROL_ERROR


def test_many_windows_in_one_settings_frame_touch_the_streams_once() -> None:
    peer = Peer().send(h2.headers(1))
    flood = b"".join(frames.SETTING.pack(4, size) for size in range(2000))
    peer.send(frames.frame(frames.SETTINGS, 0, 0, flood))
    assert peer.machine.sender.streams[1].window == 1999
    assert peer.machine.credit.left >= Credit.MOST - 2 * Credit.SETTINGS


# ---- floods: each is as long as it takes, and none may go on for ever

CALM = Code.ENHANCE_YOUR_CALM
FLOODS = {
    "ping": lambda n: frames.ping(bytes(8), ack=False),
    "settings": lambda n: frames.settings({}),
    "settings acks": lambda n: frames.frame(frames.SETTINGS, frames.ACK, 0),
    "empty data": lambda n: (h2.headers(1) if n == 0 else b"") + h2.data(1, b""),
    "dribble": lambda n: (h2.headers(1) if n == 0 else b"") + h2.data(1, b"x"),
    "padding only": lambda n: (h2.headers(1) if n == 0 else b"") + h2.data(1, b"", pad=200),
    "priority": lambda n: frames.frame(frames.PRIORITY, 0, 1, bytes(5)),
    "window updates": lambda n: frames.window_update(0, 1),
    "unknown frames": lambda n: frames.frame(99, 0, 0, b""),
    "large unknown frames": lambda n: frames.frame(99, 0, 0, bytes(16_000)),
    "goaway": lambda n: frames.goaway(0, Code.NO_ERROR),
    "rapid reset": lambda n: h2.headers(2 * n + 1) + frames.rst_stream(2 * n + 1, Code.CANCEL),
    "rapid reset of calls": lambda n: (
        h2.call(2 * n + 1) + frames.rst_stream(2 * n + 1, Code.CANCEL)
    ),
    "made to reset": lambda n: h2.headers(2 * n + 1) + frames.window_update(2 * n + 1, 0),
    "malformed requests": lambda n: h2.headers(2 * n + 1, [(b"Bad", b"")], end=True),
    "data after a reset": lambda n: (
        h2.headers(1) + frames.window_update(1, 0) if n == 0 else h2.data(1, b"")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_connection(name: str) -> None:
    peer = Peer(streams=1000)
    limit = Credit.MOST + 10
    for number in range(limit):
        if peer.machine.failed:
            break
        peer.send(FLOODS[name](number))
        if number % 500 == 0:
            peer.sender.out.clear()
    assert peer.machine.failed
    assert (peer.failure() or [None])[0] in (CALM, Code.FLOW_CONTROL_ERROR)
    assert len(peer.machine.sender.streams) <= 1000


def test_streams_over_the_limit_for_ever_end_the_connection() -> None:
    peer = Peer(streams=1).send(h2.headers(1))
    for stream in range(3, 10_000, 2):
        peer.send(h2.headers(stream))
    assert (peer.failure() or [None])[0] is CALM


@pytest.mark.parametrize("size", [0, 1, 6000])
def test_a_header_block_without_end_ends_the_connection(size: int) -> None:
    peer = Peer().send(h2.headers(1, flags=0))
    for _ in range(20):
        peer.send(frames.frame(frames.CONTINUATION, 0, 1, bytes(size)))
    assert peer.failure() == (CALM, "a header block that is too long")


def test_a_megabyte_of_headers_ends_the_connection_early() -> None:
    peer = Peer()
    block = hpack.encode([*h2.call_fields(), (b"x", bytes(1 << 20))])
    sent = frames.frame(frames.HEADERS, 0, 1, block[:16_384])
    for place in range(16_384, len(block), 16_384):
        sent += frames.frame(frames.CONTINUATION, 0, 1, block[place : place + 16_384])
    peer.send(sent)
    assert peer.failure() == (CALM, "a header block that is too long")


def test_too_many_headers_reach_the_handler_as_such() -> None:
    peer = Peer().send(h2.headers(1, [*h2.call_fields(), (b"x", b"y" * h2.METADATA)], end=True))
    assert peer.seen.requests[1].headers.fields is None


def test_calls_that_are_answered_pay_for_the_frames_around_them() -> None:
    peer = Peer()
    block = hpack.encode([(b":status", b"200")])
    for number in range(3000):
        stream = 2 * number + 1
        peer.send(h2.call(stream), frames.ping(bytes(8), ack=False), frames.window_update(0, 9))
        peer.sender.answer(peer.seen.requests.pop(stream), block, (b"x",), block)
        peer.sender.out.clear()
        peer.sender.window = 65_535
    assert peer.machine.credit.left == Credit.MOST


# ---- ends


def test_an_end_is_told_twice_and_loses_no_call() -> None:
    peer = Peer().send(h2.call(1))
    peer.machine.announce_end()
    first, ping = peer.sent()
    assert first.payload[:8] == (2**31 - 1).to_bytes(4) + bytes(4)
    assert ping == h2.Frame(frames.PING, 0, 0, DRAIN_PING)
    peer.send(h2.call(3))  # it was under way when the client was told
    assert not peer.machine.drained
    peer.send(frames.ping(DRAIN_PING, ack=True))
    (last,) = peer.sent()
    assert last.payload[:8] == (3).to_bytes(4) + bytes(4)
    peer.send(h2.call(5))  # against the rule: never taken, so the client may send it elsewhere
    assert list(peer.seen.requests) == [1, 3]
    assert (peer.machine.drained, peer.failure()) == (True, None)
    assert set(peer.sender.streams) == {1, 3}


def test_an_end_without_an_answer_to_the_ping() -> None:
    peer = Peer().send(h2.call(1))
    peer.machine.announce_end()
    peer.machine.end()
    peer.machine.end()
    assert [frame.payload[:4] for frame in peer.sent() if frame.kind == frames.GOAWAY] == [
        (2**31 - 1).to_bytes(4), (1).to_bytes(4),
    ]  # fmt: skip


def test_somebody_elses_ping_does_not_end_anything() -> None:
    peer = Peer()
    peer.machine.announce_end()
    peer.send(frames.ping(b"whatever", ack=True))
    assert not peer.machine.drained
