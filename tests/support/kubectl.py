"""kubectl as a user has it: one program run for each question, and one watch that sees it all."""

import json
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")
SEEN_AT = "seenAt"  # key of a watched state: when it arrived, on time.monotonic


class Refused(Exception):  # noqa: N818 - it reads as what it is
    """kubectl ended with an error; the text is what it said."""


class Kubectl:
    """kubectl in one namespace, or in none."""

    def __init__(self, namespace: str | None = None) -> None:
        self.namespace = namespace
        self._flags = ["--namespace", namespace] if namespace else []

    def __call__(self, *words: str, stdin: str | None = None, timeout: float = 90) -> str:
        """What it printed.

        Raises:
            Refused: it said no.
        """
        done = subprocess.run(
            ["kubectl", *self._flags, *words],
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise Refused(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def apply(self, *objects: Json, flags: tuple[str, ...] = ()) -> str:
        """Client-side apply, unless ``flags`` say otherwise."""
        return self("apply", *flags, "-f", "-", stdin=_documents(objects))

    def get(self, kind: str, name: str) -> Json:
        """One object."""
        found: Json = json.loads(self("get", kind, name, "-o", "json"))
        return found

    def list(self, kind: str, *, labels: str = "") -> list[Json]:
        """Objects, of one label selector."""
        found: list[Json] = json.loads(self("get", kind, "-l", labels, "-o", "json"))["items"]
        return found

    def names(self, kind: str, *, labels: str = "") -> set[str]:
        """Names of objects."""
        return set(self("get", kind, "-l", labels, "-o", "name").replace("/", " ").split()[1::2])

    def patch(self, kind: str, name: str, change: Json, *, flags: tuple[str, ...] = ()) -> None:
        """A merge patch."""
        self("patch", kind, name, "--type=merge", *flags, "-p", json.dumps(change))


def _documents(objects: tuple[Json, ...]) -> str:
    return "\n---\n".join(json.dumps(each) for each in objects)


def eventually(what: str, look: Callable[[], T], *, seconds: float = 60, period: float = 0.5) -> T:
    """What ``look`` returns once it is true.

    Raises:
        AssertionError: not within ``seconds``; says what it returned last.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"after {seconds} s still not {what}: {found!r}"
        time.sleep(period)
    return found


class Watch:
    """Every state of every ModelDeployment of a namespace, in order: one ``kubectl --watch``."""

    def __init__(self, namespace: str) -> None:
        self._seen: dict[str, list[Json]] = {}
        self._changed = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            [
                *("kubectl", "get", "modeldeployments", "--namespace", namespace),
                *("--watch", "-o", 'jsonpath={@}{"\\n"}'),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(timeout=10)
        self._reader.join(timeout=10)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def states(self, name: str) -> list[Json]:
        """All that were seen."""
        with self._changed:
            return list(self._seen.get(name, ()))

    def names(self) -> list[str]:
        """Resources that were seen."""
        with self._changed:
            return list(self._seen)

    def phases(self, name: str, *, since: int = 0) -> list[str]:
        """Phases in order, without repetition, from the ``since``-th state on."""
        phases: list[str] = []
        for state in self.states(name)[since:]:
            phase = (state.get("status") or {}).get("phase")
            if phase and phases[-1:] != [phase]:
                phases.append(phase)
        return phases

    def wait(
        self, name: str, holds: Callable[[Json], bool], *, seconds: float = 120, since: int = 0
    ) -> Json:
        """The first state from the ``since``-th on of which ``holds`` says so.

        Raises:
            AssertionError: none within ``seconds``; says where it stands.
        """
        end = time.monotonic() + seconds
        looked = since
        with self._changed:
            while True:
                states = self._seen.get(name, [])
                for state in states[looked:]:
                    if holds(state):
                        return state
                looked = max(since, len(states))
                left = end - time.monotonic()
                if left <= 0 or self._ended:
                    why = "the watch ended" if self._ended else f"not within {seconds} s"
                    raise AssertionError(f"{name}: {why}; last seen: {told(states)}")
                self._changed.wait(left)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            state = json.loads(line)
            state[SEEN_AT] = time.monotonic()
            with self._changed:
                self._seen.setdefault(state["metadata"]["name"], []).append(state)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


def told(states: list[Json]) -> str:
    """Where the last of some states stands, for a person."""
    if not states:
        return "nothing"
    status = states[-1].get("status") or {}
    conditions = [
        f"{c['type']}={c['status']} {c['reason']}: {c['message']}"
        for c in status.get("conditions", ())
    ]
    return "\n  ".join([f"{status.get('phase')}: {status.get('message')}", *conditions])
