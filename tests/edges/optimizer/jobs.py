"""The optimization Job as the cluster runs it: steps as processes that share a folder."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.contract import Env, Step
from slipway.tasks import JobReport, ReplayReport, StepFailure, parse_report
from slipway_optimizer.settings import Settings
from slipway_optimizer.steps.runner import run_step


@dataclass(frozen=True, slots=True)
class StepEnd:
    """How a step ended: exit code, what it printed, and its termination message."""

    code: int
    output: str
    message: JobReport | StepFailure | ReplayReport | None


@dataclass(frozen=True, slots=True)
class JobRunner:
    """One pod: a work folder, a request, credentials if any."""

    folder: Path

    @property
    def work(self) -> Path:
        """The emptyDir."""
        return self.folder / "work"

    @property
    def storage(self) -> Path:
        """Where Secrets are mounted."""
        return self.folder / "storage"

    def environment(self) -> dict[str, str]:
        """What the pod's containers see."""
        return {
            "PATH": os.environ["PATH"],
            Env.REQUEST_FILE: str(self.folder / "request.json"),
            Env.WORK_DIR: str(self.work),
            Env.STORAGE_DIR: str(self.storage),
            Env.TERMINATION_LOG: str(self.folder / "message"),
        }

    def request(self, source: str, artifacts: str, **changes: Any) -> "JobRunner":
        """Leave the operator's request: ``modelFormat`` by the suffix, other fields as given."""
        name = "sklearn" if source.endswith(".skops") else "onnx"
        body = {
            "model": {"uri": source, "modelFormat": name},
            "optimization": {"budget": "1m"},  # short looks: what is shown here is the way
            "validation": {},
            "artifactsUri": artifacts,
            "threads": 1,
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "request.json").write_text(json.dumps(body | changes))
        return self

    def step(self, step: Step) -> StepEnd:
        """Run one container."""
        message = self.folder / "message"
        message.unlink(missing_ok=True)
        ended = subprocess.run(
            [sys.executable, "-m", "slipway_optimizer", "job", step],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        report = parse_report(message.read_text()) if message.exists() else None
        return StepEnd(ended.returncode, ended.stdout + ended.stderr, report)

    def killed_when(self, step: Step, said: str) -> StepEnd:
        """Run one container, and kill it by SIGKILL once it has said that."""
        with subprocess.Popen(
            [sys.executable, "-m", "slipway_optimizer", "job", step],
            env=self.environment(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child:
            assert child.stdout is not None
            lines = []
            for line in child.stdout:
                lines.append(line)
                if said in line:
                    child.kill()
                    break
        return StepEnd(child.returncode, "".join(lines), None)

    def step_here(self, step: Step) -> StepEnd:
        """The same in this process: quicker, for what is not about processes."""
        message = self.folder / "message"
        message.unlink(missing_ok=True)
        code = run_step(step, Settings.from_env(self.environment()))
        report = parse_report(message.read_text()) if message.exists() else None
        return StepEnd(code, "", report)

    def run(self) -> StepEnd:
        """Run the containers in order until one fails; the last one's end."""
        return self._until_failure(self.step)

    def run_here(self, *steps: Step) -> StepEnd:
        """The same in this process, or some of the steps."""
        return self._until_failure(self.step_here, steps or tuple(Step))

    def _until_failure(
        self, run: Callable[[Step], StepEnd], steps: Sequence[Step] = tuple(Step)
    ) -> StepEnd:
        for step in steps:
            end = run(step)
            if end.code != 0:
                break
        return end


def dataset(path: Path, **more: Any) -> dict[str, Any]:
    """``spec.validation`` with a data set."""
    return {"dataset": {"storageUri": path.as_uri()}, **more}
