"""Helm as a user runs it: the chart of this tree with the images of the run."""

import json
import subprocess
import time
from pathlib import Path

from tests.e2e.settings import ARTIFACTS, RELEASE, SECRET, SYSTEM, Images
from tests.support.kubectl import Json, Kubectl, Refused, eventually

CHART = Path(__file__).resolve().parents[2] / "charts" / "slipway"


def helm(*words: str, timeout: float = 120) -> str:
    """What it printed.

    Raises:
        Refused: it said no.
    """
    done = subprocess.run(
        ["helm", *words], capture_output=True, text=True, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise Refused(done.stderr.strip() or done.stdout.strip())
    return done.stdout


class Installation:
    """The release of the run."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self.kubectl = Kubectl(SYSTEM)
        self.seconds = 0.0
        self.notes = ""

    def install(self) -> str:
        """Install it, or upgrade what an earlier run left, and wait until it is ready.

        Returns:
            The notes that the user reads.
        """
        began = time.monotonic()
        notes = helm(
            *("upgrade", "--install", RELEASE, str(CHART), "--namespace", SYSTEM),
            *("--create-namespace", "--wait", "--timeout", "90s"),
            *self.values(),
        )
        self.seconds = time.monotonic() - began
        return notes

    def uninstall(self) -> None:
        """Uninstall it and wait until its pods are gone."""
        helm("uninstall", RELEASE, "--namespace", SYSTEM, "--wait", "--timeout", "90s")
        eventually("without operator pods", lambda: not self.pods(), seconds=60)

    def values(self) -> list[str]:
        """Flags that name images and the default store."""
        settings = {
            "image": self._images.operator,
            "runtime.images.server": self._images.server,
            "runtime.images.optimizer": self._images.optimizer,
            "runtime.images.optimizerClassic": self._images.optimizer_classic,
        }
        for name, image in self._images.frameworks.items():
            settings[f"runtime.images.{name}"] = image
        flags: list[str] = []
        for key, image in settings.items():
            repository, _, tag = image.rpartition(":")
            flags += ["--set-string", f"{key}.repository={repository}"]
            flags += ["--set-string", f"{key}.tag={tag}"]
        flags += ["--set", f"storage.defaults.storageUri=s3://{ARTIFACTS}/team"]
        return [*flags, "--set", f"storage.defaults.secretName={SECRET}"]

    def pods(self) -> list[Json]:
        """The operator's pods."""
        return self.kubectl.list("pods", labels="app.kubernetes.io/component=operator")

    def ready_pods(self) -> list[Json]:
        """Those that are ready."""
        return [pod for pod in self.pods() if is_ready(pod)]

    def leader(self) -> str:
        """Who holds the Lease."""
        lease = self.kubectl.get("lease", "slipway-operator")
        holder: str = lease["spec"].get("holderIdentity") or ""
        return holder

    def log(self, lines: int = 40) -> str:
        """The end of all operators' logs."""
        return self.kubectl(
            "logs", "-l", "app.kubernetes.io/component=operator", "--prefix", f"--tail={lines}"
        )

    def errors(self) -> list[str]:
        """Log entries of level ERROR, in all operators that run."""
        found = []
        for line in self.log(-1).splitlines():
            start = line.find("{")
            entry = json.loads(line[start:]) if start >= 0 else {}
            if entry.get("level") == "ERROR":
                found.append(line)
        return found


def is_ready(pod: Json) -> bool:
    """Whether it is an endpoint."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")
