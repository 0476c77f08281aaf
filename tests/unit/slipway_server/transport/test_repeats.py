from typing import Any

import pytest

from slipway_server.transport.exchange import Exchange
from slipway_server.transport.head import Head
from slipway_server.transport.repeats import KnownHeads
from tests.support.connections import Owner, talk

HEAD = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"


class Nobody:
    """A connection that answers nothing."""

    def reply(self, *_: object, **__: object) -> None:
        """Do nothing."""


def exchange(body: bytes = b"body", **changes: Any) -> Exchange:
    head = Head(b"/a")
    head.length = 4
    for name, value in changes.items():
        setattr(head, name, value)
    made = Exchange(Nobody(), b"POST", head)
    made.body = body
    return made


def taught(data: bytes = HEAD + b"body", asked: Exchange | None = None) -> KnownHeads:
    heads = KnownHeads()
    heads.learn(data, asked or exchange())
    return heads


def test_a_head_that_came_before_is_known_with_any_body_of_its_length() -> None:
    found = taught().find(HEAD + b"\r\n\r\n")
    assert found is not None
    known, body = found
    assert (known.method, known.head.target, body) == (b"POST", b"/a", b"\r\n\r\n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD,
        HEAD + b"bod",
        HEAD + b"bodyP",
        HEAD + b"body" + HEAD + b"body",
        b"\r\n" + HEAD + b"body",
        HEAD.replace(b"a\r\n", b"b\r\n") + b"body",
    ],
)
def test_what_is_not_exactly_one_such_request_is_parsed(data: bytes) -> None:
    assert taught().find(data) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"chunked": True},
        {"coding": b"gzip"},
        {"expects": True},
        {"upgrade": True},
        {"parent": b"p"},
    ],
)
def test_heads_that_ask_for_more_are_parsed_each_time(changes: dict[str, Any]) -> None:
    heads = taught(asked=exchange(**changes))
    assert heads.find(HEAD + b"body") is None


def test_a_connection_that_ends_is_parsed() -> None:
    last = exchange()
    last.keep_alive = False
    assert taught(asked=last).find(HEAD + b"body") is None


@pytest.mark.parametrize(
    "data",
    [
        HEAD + b"body" + b"more",  # another request follows
        b"\r\n\r\n" + HEAD + b"body",  # the head's end is not the first CR LF CR LF
        HEAD.replace(b"a\r\n", b"a\n") + b"body",  # a parser may take LF for an end of line
    ],
)
def test_a_packet_whose_head_is_not_plain_teaches_nothing(data: bytes) -> None:
    assert taught(data).find(data) is None


def test_a_head_that_ends_earlier_for_a_lenient_parser_teaches_nothing() -> None:
    bare = b"POST /a HTTP/1.1\nHost: a\nContent-Length: 0\n\nX: GET / HTTP/1.1\r\n\r\n"
    heads = taught(bare, exchange(b"", length=0))
    assert heads.find(bare) is None


def test_a_connection_answers_what_it_knows_as_what_it_parses() -> None:
    owner, data = Owner(), HEAD + b"body" + HEAD + b"BODY"
    size = len(HEAD) + 4
    parsed = talk(Owner(), data, 7)
    assert [answer[-4:] for answer in parsed] == [b"body", b"BODY"]
    assert talk(owner, data, size) == parsed
    assert talk(owner, data, size) == parsed
