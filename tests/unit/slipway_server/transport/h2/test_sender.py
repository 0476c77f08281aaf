"""Answers leave as windows allow, in turns, and are complete."""

from hypothesis import given
from hypothesis import strategies as st

from slipway_server.transport.h2 import frames
from slipway_server.transport.h2.frames import Code
from tests.support import h2
from tests.support.h2 import Peer

HEAD, TAIL = b"\x88", b"\x00\x0bgrpc-status\x010"


def answering(peer: Peer, stream: int, body: bytes) -> None:
    peer.sender.answer(peer.seen.requests[stream], HEAD, (body[:5], body[5:]), TAIL)


def body_of(sent: list[h2.Frame], stream: int) -> bytes:
    parts = [one.payload for one in sent if one.kind == frames.DATA and one.stream == stream]
    return b"".join(parts)


def test_a_small_answer_is_three_frames_in_one_piece() -> None:
    peer = Peer().send(h2.call(1))
    answering(peer, 1, b"0123456789")
    assert len(peer.sender.out) == 1
    assert peer.sent() == [
        h2.Frame(frames.HEADERS, frames.END_HEADERS, 1, HEAD),
        h2.Frame(frames.DATA, 0, 1, b"0123456789"),
        h2.Frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 1, TAIL),
    ]
    assert peer.sender.streams == {}


@given(
    st.lists(st.integers(0, 90_000), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 60_000)), max_size=20),
    st.integers(0, 100_000),
)
def test_whatever_the_windows_do_no_byte_is_lost_or_sent_too_early(
    sizes: list[int], updates: list[tuple[int, int]], initial: int
) -> None:
    peer = Peer().send(frames.settings({frames.INITIAL_WINDOW_SIZE: initial}))
    bodies = {2 * n + 1: bytes([n]) * size for n, size in enumerate(sizes)}
    windows = {0: frames.DEFAULT_WINDOW} | dict.fromkeys(bodies, initial)
    sent = peer.sent()
    for stream, body in bodies.items():
        peer.send(h2.call(stream))
        answering(peer, stream, body)
    for place, size in updates:
        stream = 0 if place == 0 else 2 * place - 1
        if stream in windows:
            windows[stream] += size
            peer.send(frames.window_update(stream, size))
    sent += peer.sent()
    lengths = {stream: len(body_of(sent, stream)) for stream in bodies}
    assert sum(lengths.values()) <= windows[0]
    for stream, body in bodies.items():
        assert lengths[stream] <= windows[stream]
        assert body_of(sent, stream) == body[: lengths[stream]]
    for stream in (0, *bodies):
        peer.send(frames.window_update(stream, 400_000))
    sent += peer.sent()
    assert {stream: body_of(sent, stream) for stream in bodies} == bodies
    ends = [one.stream for one in sent if one.flags & frames.END_STREAM and one.stream]
    assert sorted(ends) == sorted(bodies)
    assert (peer.sender.unsent, peer.sender.streams) == (0, {})


def test_answers_take_turns() -> None:
    peer = Peer().send(h2.call(1), h2.call(3))
    peer.sender.open = False
    for stream in (1, 3):
        answering(peer, stream, bytes(32_768))
    peer.sender.open = True
    assert [one.stream for one in peer.sent() if one.kind == frames.DATA] == [1, 3, 1, 3]


def test_a_shut_window_of_one_stream_does_not_stop_others() -> None:
    peer = Peer().send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}), h2.call(1), h2.call(3))
    for stream in (1, 3):
        answering(peer, stream, b"0123456789")
    peer.send(frames.window_update(3, 100))
    sent = peer.sent()
    assert (body_of(sent, 1), body_of(sent, 3)) == (b"", b"0123456789")
    assert peer.sender.unsent == 10


def test_a_window_that_becomes_negative_is_made_up_for_first() -> None:
    peer = Peer().send(h2.call(1))
    answering(peer, 1, bytes(65_000 + 1000))
    peer.sent()
    peer.send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}))
    assert peer.machine.sender.streams[1].window == -65_535
    peer.send(frames.window_update(0, 10_000), frames.window_update(1, 65_535))
    assert body_of(peer.sent(), 1) == b""
    peer.send(frames.window_update(1, 10_000))
    assert len(body_of(peer.sent(), 1)) == 66_000 - 65_535


def test_what_is_reset_is_dropped() -> None:
    peer = Peer().send(frames.settings({frames.INITIAL_WINDOW_SIZE: 0}), h2.call(1))
    answering(peer, 1, bytes(1000))
    peer.send(frames.rst_stream(1, Code.CANCEL), frames.window_update(0, 10))
    assert body_of(peer.sent(), 1) == b""
    assert (peer.sender.unsent, peer.sender.streams) == (0, {})


def test_nothing_leaves_while_the_transport_is_full() -> None:
    peer = Peer().send(h2.call(1))
    peer.sender.open = False
    answering(peer, 1, b"0123456789")
    assert body_of(peer.sent(), 1) == b""
    peer.sender.open = True
    assert body_of(peer.sent(), 1) == b"0123456789"


def test_a_body_may_come_piece_by_piece() -> None:
    peer = Peer().send(h2.headers(1))
    stream = peer.seen.requests[1]
    peer.sender.start(stream, HEAD)
    peer.sender.push(stream, (b"ab", b"", b"c"))
    assert body_of(peer.sent(), 1) == b"abc"
    peer.sender.push(stream, (b"d",))
    peer.send(h2.data(1, b"", end=True))
    peer.sender.finish(stream, TAIL)
    sent = peer.sent()
    assert (body_of(sent, 1), sent[-1].payload) == (b"d", TAIL)
    peer.sender.push(stream, (b"late",))
    peer.sender.finish(stream, TAIL)
    assert peer.sent() == []


def test_no_more_is_handed_out_at_once_than_a_transport_should_hold() -> None:
    peer = Peer().send(frames.settings({frames.INITIAL_WINDOW_SIZE: 1 << 20}))
    peer.send(frames.window_update(0, 1 << 28), *(h2.call(n) for n in (1, 3, 5, 7)))
    peer.sender.take()
    for stream in (1, 3, 5, 7):
        answering(peer, stream, bytes(400_000))
        peer.send(frames.window_update(0, 1))
    sizes = []
    while parts := peer.sender.take():
        sizes.append(sum(len(part) for part in parts))
    assert (len(sizes), max(sizes) < 300_000) == (7, True)
    assert sum(sizes) > 1_600_000
