"""``multipart/form-data`` (RFC 7578): names and bytes of its parts. Pure."""

import re
from typing import Final

from slipway.errors import Invalid

_BOUNDARY: Final = re.compile(rb'(?i)(?:^|;)\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))')
_NAME: Final = re.compile(rb'(?i);\s*name=(?:"([^"\r\n]{0,200})"|([^\s;"]{1,200}))')
_DISPOSITION: Final = b"content-disposition:"
_HEAD_LIMIT: Final = 4096


def parts_of(body: bytes, parameters: bytes, *, limit: int) -> list[tuple[str, bytes]]:
    """Name and content of each part.

    Args:
        body: the whole form.
        parameters: of its content type, with the boundary.
        limit: how many parts at most.

    Raises:
        Invalid: no such form, or too many parts.
    """
    found = _BOUNDARY.search(parameters)
    if found is None:
        raise Invalid("the form's Content-Type names no boundary")
    line = b"--" + (found[1] or found[2])
    if not body.startswith(line):
        raise Invalid("the form does not begin with its boundary")
    parts: list[tuple[str, bytes]] = []
    start, mark = len(line), b"\r\n" + line
    while body[start : start + 2] != b"--":
        end = body.find(mark, start)
        if end < 0 or body[start : start + 2] != b"\r\n":
            raise Invalid("the form ends before its last boundary")
        if len(parts) == limit:
            raise Invalid(f"the form has more than {limit} parts: the model has so many inputs")
        parts.append(_part(body, start + 2, end))
        start = end + len(mark)
    return parts


def _part(body: bytes, start: int, end: int) -> tuple[str, bytes]:
    stop = body.find(b"\r\n\r\n", start, min(end, start + _HEAD_LIMIT))
    if stop < 0:
        raise Invalid("a part of the form has no headers, or too long ones")
    for line in body[start:stop].split(b"\r\n"):
        if line.lower().startswith(_DISPOSITION):
            name = _NAME.search(line)
            if name is not None:
                text = name[1] if name[1] is not None else name[2]
                return text.decode("utf-8", "replace"), body[stop + 4 : end]
    raise Invalid("a part of the form has no name")
