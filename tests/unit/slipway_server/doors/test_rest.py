import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from slipway_server.doors.rest import RestDoor
from slipway_server.doors.table import DOORS
from slipway_server.state import Identity, State
from slipway_server.transport.exchange import Exchange
from slipway_server.transport.head import Head


@dataclass
class Client:
    """A connection that remembers its answer."""

    door: RestDoor
    answers: list[tuple[int, Any, bytes]] = field(default_factory=list)

    def reply(
        self, exchange: Exchange, status: int, parts: Sequence[bytes], *, head: tuple[bytes, bytes]
    ) -> None:
        """Keep the answer."""
        del exchange
        body = b"".join(parts)
        is_json = head[0] == b"application/json"
        self.answers.append((status, json.loads(body) if is_json else body.decode(), head[1]))

    def ask(self, method: str, path: str) -> tuple[int, Any, bytes]:
        """The answer to an empty request."""
        self.door.handle(Exchange(self, method.encode(), Head(path.encode())))
        (answer,) = self.answers
        self.answers.clear()
        return answer


def client(*names: str) -> Client:
    state = State([Identity(name, "r1", "sha256:0") for name in names])
    return Client(RestDoor(state, clock=lambda: 0.0))


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/v2/models/m/infer", {"error": "model 'm' is not ready: starting"}),
        ("/v1/models/m:predict", {"error": "model 'm' is not ready: starting"}),
        (
            "/predictions/m",
            {
                "code": 503,
                "type": "ServiceUnavailableException",
                "message": "model 'm' is not ready: starting",
            },
        ),
        ("/model/m:predict", {"error_msg": "model 'm' is not ready: starting"}),
    ],
)
def test_while_the_model_loads_every_door_says_so_in_its_own_words(
    path: str, error: dict[str, object]
) -> None:
    peer = client("m")
    status, body, headers = peer.ask("POST", path)
    assert (status, body) == (503, error)
    assert headers == b"slipway-revision: r1\r\nslipway-artifact: sha256:0\r\nretry-after: 1\r\n"
    assert 'code="503",outcome="server_error"} 1' in peer.ask("GET", "/metrics")[1]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/health/ready", {"name": "m", "ready": False, "reason": "starting"}),
        ("/v2/models/m/ready", {"name": "m", "ready": False, "reason": "starting"}),
        ("/v1/models/m", {"name": "m", "ready": False}),
        ("/ping", {"status": "Unhealthy"}),
        ("/v2/models/m", {"error": "model 'm' is not ready: starting"}),
    ],
)
def test_readiness_is_told_while_the_model_loads(path: str, body: dict[str, object]) -> None:
    status, found, _ = client("m").ask("GET", path)
    assert status == (500 if path == "/ping" else 503)
    assert body.items() <= found.items()


def test_every_path_of_every_door_exists_for_every_model() -> None:
    peer = client("a", "b")
    for door in DOORS:
        for name in ("a", "b"):
            for template in door.infer:
                path = template.format(model=name, version="r1")
                assert peer.ask(door.methods[0].decode(), path)[0] == 503
                assert peer.ask("DELETE", path)[0] == 405
            for template in door.model:
                assert peer.ask("GET", template.format(model=name, version="r1"))[0] in (200, 503)
        for path in door.server:
            assert peer.ask("GET", path)[0] in (200, 500, 503)
            assert peer.ask("POST", path)[0] == 405


def test_no_two_doors_share_a_path_or_a_name() -> None:
    paths = [path for door in DOORS for path in (*door.infer, *door.model, *door.server)]
    assert len(set(paths)) == len(paths)
    assert len({door.name for door in DOORS}) == len(DOORS)


@pytest.mark.parametrize(
    ("names", "path", "key", "text"),
    [
        (("m",), "/v2/models/x/infer", "error", "is not served here: the model is 'm'"),
        (
            ("a", "b"),
            "/model/x:predict",
            "error_msg",
            "is not served here: the models are 'a', 'b'",
        ),
        (("a", "b"), "/none", "error", "does not exist: see /v2 and /v1/models"),
    ],
)
def test_what_is_not_there_is_told_from_what_is(
    names: tuple[str, ...], path: str, key: str, text: str
) -> None:
    assert client(*names).ask("POST", path)[:2] == (404, {key: f"'{path}' {text}"})


def test_a_method_that_is_not_allowed_names_those_that_are() -> None:
    status, body, headers = client("m").ask("GET", "/predictions/m")
    assert (status, headers) == (405, b"allow: POST, PUT\r\n")
    assert body["type"] == "MethodNotAllowedException"
    assert client("m").ask("OPTIONS", "/v2")[0] == 405  # CORS is off
