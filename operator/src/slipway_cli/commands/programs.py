"""``serve``, ``optimize`` and their like: the same programs that the pods run, started here."""

import importlib.util
import os
import sys

from slipway.errors import Invalid

PROGRAMS = {
    "serve": "slipway_server",
    "optimize": "slipway_optimizer",
    "inspect": "slipway_optimizer",
    "dataset": "slipway_optimizer",
}
_EXTRA = {"slipway_server": "server", "slipway_optimizer": "optimizer-classic"}


def hand_over(command: str, rest: list[str]) -> int:
    """Become that program; it gets the rest of the command line.

    Raises:
        Invalid: its packages are not installed here.
    """
    module = PROGRAMS[command]
    if importlib.util.find_spec("onnxruntime") is None:
        extra = _EXTRA[module]
        raise Invalid(
            f"slipway {command} needs more packages: pip install 'slipway-operator[{extra}]'"
        )
    os.execv(sys.executable, [sys.executable, "-m", module, command, *rest])  # noqa: S606 - no shell
