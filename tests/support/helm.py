"""The real helm, where it is found."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import golang

Json = dict[str, Any]
CHART = Path(__file__).resolve().parents[2] / "charts" / "slipway"
MISSING = "helm is not here: `python -m tests.cluster build helm` builds it, or put one on PATH"


class Refused(Exception):  # noqa: N818 - helm said no; nothing of ours went wrong
    """What helm said when it said no."""


def program() -> str | None:
    """Our own build of helm, else the machine's."""
    built = golang.program("helm")
    return str(built) if built.is_file() else shutil.which("helm")


def helm(*words: str) -> str:
    """What helm prints.

    Raises:
        Refused: it failed; the text is what it said.
    """
    found = program()
    assert found is not None
    done = subprocess.run([found, *words], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise Refused(done.stderr)
    return done.stdout


def rendered(values: Json | None = None, *, folder: Path) -> list[Json]:
    """All objects of the chart for a release ``slipway`` in ``slipway-system``."""
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(values or {}))
    text = _template(path.read_text(), path)
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


_known: dict[str, str] = {}


def _template(key: str, path: Path) -> str:
    """What helm makes of the same values, asked once."""
    if key not in _known:
        _known[key] = helm(
            *("template", "slipway", str(CHART), "-n", "slipway-system", "-f", str(path))
        )
    return _known[key]
