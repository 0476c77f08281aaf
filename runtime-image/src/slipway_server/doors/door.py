"""What a protocol over HTTP is made of. A new one is a module with a ``Door``, and a table row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from slipway_server.state import Model, State
from slipway_server.transport.exchange import Exchange

if TYPE_CHECKING:  # numpy is imported while the model downloads, after the doors opened
    from slipway_server.protocol.tensors import Array, InferRequest, Signature

GET: Final = b"GET"
POST: Final = b"POST"
PUT: Final = b"PUT"


# The body of an answer: bytes to send one after the other, their type, more complete header lines.
Body = tuple[tuple[bytes, ...], bytes, bytes]


class Codec(Protocol):
    """A protocol's requests and answers for one model."""

    def decode(self, exchange: Exchange) -> "InferRequest":
        """Read a request.

        Raises:
            Invalid: whatever is wrong with it.
        """

    def encode(self, request: Any, arrays: "list[Array]") -> Body:
        """Write the answer to a request that ``decode`` returned.

        Args:
            request: what was asked.
            arrays: all outputs of the model, in its order.

        Raises:
            Invalid: the outputs have no form in this protocol.
        """


Seen = tuple[int, object]  # status, JSON
Schema = Mapping[str, object]  # of JSON, as OpenAPI 3.1 has it


@dataclass(frozen=True, slots=True)
class ServerView:
    """Something of the server that can be read."""

    summary: str
    read: Callable[[State], Seen]
    schema: Schema


@dataclass(frozen=True, slots=True)
class ModelView:
    """Something of one model that can be read; ``read`` may raise ``NotReady``."""

    summary: str
    read: Callable[[State, Model], Seen]
    schema: Schema


@dataclass(frozen=True, slots=True)
class Form:
    """What an inference request and its answer look like.

    Attributes:
        summary: one line.
        request: schema of a body by content type.
        answer: schema of an answer by content type.
        error: schema of an answer that is an error.
    """

    summary: str
    request: Mapping[str, Schema]
    answer: Mapping[str, Schema]
    error: Schema


def plain_error(status: int, message: str) -> object:
    """``{"error": message}``."""
    del status
    return {"error": message}


def record(**properties: object) -> Schema:
    """The schema of an object with exactly these keys."""
    return {"type": "object", "required": list(properties), "properties": properties}


STRING: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
ANY: Final[Schema] = {}
PLAIN_ERROR: Final = record(error=STRING)


@dataclass(frozen=True, slots=True)
class Door:
    """A protocol. Paths may hold ``{model}`` and ``{version}``.

    Attributes:
        name: its value of the label ``door`` in metrics; inference requests are counted by it.
        infer: paths of inference requests.
        codec: makes the codec of a loaded model; imports numpy only then.
        form: for the OpenAPI document; without one the door is not in it.
        methods: of inference requests.
        prefix: what its paths begin with: an unknown one below it is answered by ``error``.
        server: what else can be read, of the server.
        model: what else can be read, of one model.
        error: the JSON of an answer that is an error.
    """

    name: str
    infer: tuple[str, ...]
    codec: "Callable[[Signature], Codec]"
    form: Form | None = None
    methods: tuple[bytes, ...] = (POST,)
    prefix: str = ""
    server: Mapping[str, ServerView] = field(default_factory=dict)
    model: Mapping[str, ModelView] = field(default_factory=dict)
    error: Callable[[int, str], object] = plain_error
