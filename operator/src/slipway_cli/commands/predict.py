"""``predict``: send one request, through the API server's proxy or to a URL."""

import asyncio
import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request as UrlRequest
from urllib.request import urlopen

from slipway.contract import HTTP_PORT_NAME
from slipway.errors import Invalid, Transient
from slipway_cli.output import Output
from slipway_cli.session import Session
from slipway_operator.kube.kinds import KINDS

_TIMEOUT_SECONDS = 30
_BODY_LIMIT = 64 << 20


async def through_cluster(session: Session, args: Namespace) -> int:
    """By the Service proxy of the API server: needs no port-forward."""
    body = read_body(args.data)
    service = f"{args.name}:{HTTP_PORT_NAME}"
    path = KINDS["Service"].path(session.namespace, service, f"proxy/v2/models/{args.name}/infer")
    answer = await session.client.post(path, body, what=f"predict with {args.name}")
    _print(session.output, answer)
    return 0


async def to_url(output: Output, args: Namespace) -> int:
    """Straight to a server."""
    url = f"{args.url.rstrip('/')}/v2/models/{args.name}/infer"
    _print(output, await asyncio.to_thread(post, url, read_body(args.data)))
    return 0


def read_body(source: str) -> dict[str, Any]:
    """A v2 request from a file, ``-`` or the argument itself.

    Raises:
        Invalid: not a JSON object with ``inputs``.
    """
    try:
        if source == "-":
            text = sys.stdin.read(_BODY_LIMIT)
        elif source.lstrip().startswith("{"):
            text = source
        else:
            text = Path(source).read_text()
        body = json.loads(text)
    except OSError as error:
        raise Invalid(f"--data {source}: {error.strerror}") from error
    except ValueError as error:
        raise Invalid(f"--data is not JSON: {error}") from error
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), list):
        raise Invalid(
            '--data must be a v2 request: {"inputs": [{"name", "shape", "datatype", "data"}]}'
        )
    return body


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """POST JSON and read JSON.

    Raises:
        Invalid: the server refused it.
        Transient: the server does not answer.
    """
    if not url.startswith(("http://", "https://")):
        raise Invalid(f"--url {url}: it must start with http:// or https://")
    request = UrlRequest(  # noqa: S310 - http or https only, checked above
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310 - as above
            found: dict[str, Any] = json.load(response)
    except HTTPError as error:
        text = error.read(2000).decode(errors="replace")
        raise Invalid(f"{url} answered {error.code}: {text}") from error
    except (URLError, OSError, ValueError) as error:
        raise Transient(f"{url} does not answer: {error}") from error
    return found


def _print(output: Output, answer: dict[str, Any]) -> None:
    if output.structured:
        output.value(answer)
    else:
        output.line(json.dumps(answer))
