"""Keeps every status that was seen, for tests that need none but real ones (Argo CD's health)."""

import json
import re
from pathlib import Path

from tests.support.kubectl import Json, Watch

FOLDER = Path(__file__).parent / "recorded"
_MOST = 8  # states of a file


def write(title: str, watch: Watch) -> None:
    """Write the states of a namespace's resources, each kind of state once."""
    states: list[Json] = []
    known: set[str] = set()
    for name in watch.names():
        for state in watch.states(name):
            kind = _kind(state)
            if kind not in known and len(states) < _MOST:
                known.add(kind)
                states.append(_scrubbed(state))
    FOLDER.mkdir(exist_ok=True)
    stem = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")
    lines = ",\n".join(json.dumps(state, sort_keys=True) for state in states)
    (FOLDER / f"{stem}.json").write_text(f"[\n{lines}\n]\n")


def _kind(state: Json) -> str:
    """What makes two states alike: phase, conditions, and whether it is about the newest spec."""
    status = state.get("status") or {}
    conditions = [(c["type"], c["status"], c["reason"]) for c in status.get("conditions", ())]
    stale = status.get("observedGeneration") != state["metadata"].get("generation")
    return json.dumps([status.get("phase"), conditions, stale, "canary" in status])


def _scrubbed(state: Json) -> Json:
    meta = state["metadata"]
    kept = {key: meta[key] for key in ("name", "generation", "annotations") if key in meta}
    kept.get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return {
        "apiVersion": state["apiVersion"],
        "kind": state["kind"],
        "metadata": kept,
        "status": state.get("status") or {},
    }
