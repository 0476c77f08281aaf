"""TLS from a certificate and a key in files, which are read again when they change."""

import logging
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from slipway.errors import Invalid

_LOG = logging.getLogger("slipway_server.tls")
HANDSHAKE_SECONDS: Final = 10.0
Stamp = tuple[tuple[int, int, int], ...]


class TlsFiles:
    """Certificates of all doors. A renewed pair counts for connections that come after it."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read the files.

        Raises:
            Invalid: they cannot be read, or are no certificate and its key.
        """
        self._paths = (certificate, key)
        self._contexts: list[ssl.SSLContext] = []
        self._trouble = ""
        self._stamp = self._stamped()
        self._load(_context(()))

    def context(self, *protocols: str) -> ssl.SSLContext:
        """Of a listener that offers ``protocols`` by ALPN; it is kept up to date.

        Raises:
            Invalid: see the constructor.
        """
        context = _context(protocols)
        self._load(context)
        self._contexts.append(context)
        return context

    def refresh(self) -> bool:
        """Read the files again if they have changed; returns whether a new pair is in use.

        A pair that is no pair (a renewal that is half done) is logged once and tried again when it
        changes.
        """
        try:
            stamp = self._stamped()
            if stamp == self._stamp:
                return False
            self._stamp = stamp
            self._load(_context(()))  # a context that took half a pair could serve nobody
            for context in self._contexts:
                self._load(context)
        except Invalid as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                _LOG.warning("the old certificate stays in use: %s", error)
            return False
        self._trouble = ""
        _LOG.info("the certificate was renewed")
        return True

    def pem(self) -> tuple[bytes, bytes]:
        """Key and certificates as they are in the files, for a library with TLS of its own."""
        certificate, key = self._paths
        return key.read_bytes(), certificate.read_bytes()

    def _load(self, context: ssl.SSLContext) -> None:
        certificate, key = self._paths
        try:
            context.load_cert_chain(certificate, key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            raise Invalid(
                f"'{certificate.name}' and '{key.name}' are no certificate and its key without a "
                f"password ({reason})"
            ) from error

    def _stamped(self) -> Stamp:
        """What changes when a file is replaced, also when a mounted Secret is."""
        stamps = []
        for path in self._paths:
            try:
                found = path.stat()
            except OSError as error:
                raise Invalid(f"TLS file '{path.name}' cannot be read: {error.strerror}") from error
            stamps.append((found.st_ino, found.st_mtime_ns, found.st_size))
        return tuple(stamps)


def _context(protocols: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")  # instead of asking on the terminal
