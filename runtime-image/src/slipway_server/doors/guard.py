"""Who may ask: everybody, or those who show the token that a file holds."""

import hmac
import logging
from pathlib import Path
from typing import Final

from slipway.errors import Invalid

_LOG = logging.getLogger("slipway_server.guard")
_SCHEME: Final = b"bearer "
_MAX_BYTES: Final = 4096


class TokenGuard:
    """A bearer token, read again when its file changes. Health and metrics are open without it."""

    def __init__(self, path: Path) -> None:
        """Read the token.

        Raises:
            Invalid: there is none.
        """
        self._path = path
        self._token = _read(path)
        self._trouble = ""

    def allows(self, authorization: bytes) -> bool:
        """Whether this value of the ``Authorization`` header shows the token."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return False
        return hmac.compare_digest(authorization[len(_SCHEME) :].strip(), self._token)

    def refresh(self) -> None:
        """Read the file again; a file that is gone or empty leaves the old token in force."""
        try:
            token = _read(self._path)
        except Invalid as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                _LOG.warning("the old token stays in force: %s", error)
            return
        self._trouble = ""
        if token != self._token:
            self._token = token
            _LOG.info("the token was renewed")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            token = file.read(_MAX_BYTES + 1).strip()
    except OSError as error:
        raise Invalid(f"token file '{path.name}' cannot be read: {error.strerror}") from error
    if not 0 < len(token) <= _MAX_BYTES:
        raise Invalid(f"token file '{path.name}' is empty or larger than {_MAX_BYTES} bytes")
    return token
