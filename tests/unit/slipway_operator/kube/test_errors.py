import json

import pytest

from slipway.errors import Conflict, Invalid, NotFound, SlipwayError, Transient
from slipway_operator.kube.cluster import AlreadyExists, Gone
from slipway_operator.kube.errors import error_of


def answer(**details: object) -> bytes:
    return json.dumps({"kind": "Status", "message": "no", **details}).encode()


def test_what_a_terminating_namespace_forbids_is_gone_and_no_fault_of_the_user() -> None:
    body = answer(
        reason="Forbidden",
        details={"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]},
    )
    error = error_of(403, body, what="create Event a/b", retry_after=None)
    assert (type(error), str(error)) == (NotFound, "create Event a/b: no")


def test_what_rbac_forbids_is_for_the_user_to_mend() -> None:
    body = answer(reason="Forbidden", details={"name": "b"})
    assert type(error_of(403, body, what="create Event a/b", retry_after=None)) is Invalid


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (400, "BadRequest", Invalid),
        (401, "Unauthorized", Transient),
        (404, "NotFound", NotFound),
        (409, "Conflict", Conflict),
        (409, "AlreadyExists", AlreadyExists),
        (410, "Expired", Gone),
        (415, "UnsupportedMediaType", Invalid),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", Transient),
        (500, "InternalError", Transient),
        (503, "ServiceUnavailable", Transient),
        (504, "Timeout", Transient),
    ],
)
def test_each_answer_is_one_kind_of_error(
    status: int, reason: str, kind: type[SlipwayError]
) -> None:
    assert type(error_of(status, answer(reason=reason), what="x", retry_after=None)) is kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("2", 2.0), ("-1", 0.0), ("Wed, 21 Oct", None), ("", None)],
)
def test_the_wait_that_a_server_asks_for_is_kept(header: str | None, seconds: float | None) -> None:
    error = error_of(429, b"", what="x", retry_after=header)
    assert isinstance(error, Transient)
    assert error.retry_after == seconds


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b"\xff", b"null"])
def test_an_answer_that_says_nothing_is_told_by_its_number(body: bytes) -> None:
    assert str(error_of(500, body, what="get x", retry_after=None)) == "get x: HTTP 500"


def test_a_long_text_is_cut() -> None:
    body = json.dumps({"message": "m" * 5000}).encode()
    assert len(str(error_of(500, body, what="x", retry_after=None))) == 500
