"""HTTP answers of an API server -> the three kinds of error. Pure."""

import json
from typing import Any

from slipway.errors import Conflict, Invalid, NotFound, SlipwayError, Transient
from slipway_operator.kube.cluster import AlreadyExists, Gone

_TEXT_LIMIT = 500


def error_of(status: int, body: bytes, *, what: str, retry_after: str | None) -> SlipwayError:
    """The error that an answer means.

    Args:
        status: HTTP status, not 2xx.
        body: a ``metav1.Status`` as JSON, or anything.
        what: the request in a few words, for the message.
        retry_after: the header, if sent.
    """
    details = _details(body)
    text = f"{what}: {details.get('message') or f'HTTP {status}'}"[:_TEXT_LIMIT]
    reason = details.get("reason")
    if status == 404 or _is_terminating(details):
        return NotFound(text)
    if status == 409:
        return AlreadyExists(text) if reason == "AlreadyExists" else Conflict(text)
    if status == 410:
        return Gone(text)
    if status in (400, 403, 405, 413, 415, 422):
        return Invalid(text)
    return Transient(text, retry_after=_seconds(retry_after))


def _details(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_terminating(details: dict[str, Any]) -> bool:
    """Whether the namespace is going, which forbids (403) to create anything in it."""
    causes = (details.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
