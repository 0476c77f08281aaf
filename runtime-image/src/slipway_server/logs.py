"""Log lines on stderr: for people by default, JSON where ``SLIPWAY_LOG_FORMAT=json`` says so."""

import json
import logging
import sys
import time
from typing import Final

ROOT: Final = "slipway_server"
_FIELDS: Final = "fields"


def set_up(*, as_json: bool) -> None:
    """Send this package's log lines to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if as_json else _Text())
    root = logging.getLogger(ROOT)
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
    for library in ("asyncio", "grpc"):
        logging.getLogger(library).handlers = [handler]


def with_fields(**fields: object) -> dict[str, object]:
    """The ``extra`` of a log call: ``key=value`` in text, keys of the object in JSON."""
    return {_FIELDS: fields}


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, _FIELDS, {})
        tail = "".join(f" {key}={value}" for key, value in fields.items())
        line = f"{_time(record)} {record.levelname} {record.getMessage()}{tail}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _time(record: logging.LogRecord) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{stamp}.{int(record.msecs):03d}Z"
