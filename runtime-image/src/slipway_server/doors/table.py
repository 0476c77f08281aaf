"""Every protocol that is spoken over HTTP: a new door is its module and a row here."""

from typing import Final

from slipway_server.doors import mindspore, torchserve, v1, v2
from slipway_server.doors.door import Door

DOORS: Final[tuple[Door, ...]] = (
    v2.DOOR,
    v1.DOOR,
    torchserve.DOOR,
    mindspore.DOOR,
    v2.REPLAY,
)
