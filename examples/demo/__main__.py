"""The story: a first version, an update under load, and one that fails in service."""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np

from examples.demo.ask import Row, over_grpc, over_rest, v2_body
from examples.demo.load import Counts, Load
from slipway.api.v1alpha1.resource import parse_status
from slipway.api.v1alpha1.status import Status
from slipway.errors import SlipwayError
from slipway.interrupts import on_interrupt
from slipway_cli.commands.local import Follower, read
from slipway_cli.output import Output
from slipway_local.session import LocalSession, local_session
from slipway_operator.plan.objects import Ref

EXAMPLES = Path(__file__).resolve().parents[1]
MAGIKA = EXAMPLES / "magika"
MODELS = MAGIKA / "models"
NAME = "magika"
ROWS = 200  # of the data set: enough to judge by, few enough for a demo
PADDING = 256  # what a short file is filled up with
LOOK_SECONDS = 0.2
DEADLINE_SECONDS = 240.0


class Story:
    """Tells it, one chapter after the other."""

    def __init__(self, session: LocalSession, output: Output) -> None:
        self._session = session
        self._output = output
        self._ref = Ref("ModelDeployment", "default", NAME)
        self._follower = Follower(session, output, [self._ref])
        self._classes = list(
            json.loads(
                (Path(str(files("magika"))) / "models/standard_v3_3/config.min.json").read_text()
            )["target_labels_space"]
        )
        with np.load(MODELS / "magika.npz") as rows:
            self._rows: Row = rows["bytes"]

    async def first_version(self) -> None:
        """Apply, watch, predict."""
        self._output.heading("\n1. A model becomes a service: examples/magika/v1.yaml")
        await self._apply("v1")
        await self._settle("v1", healthy=True)
        status = await self._status()
        row = self._rows[0]
        label, revision = await over_rest(status.url, NAME, row)
        again = await over_grpc(status.url, NAME, row)
        self._output.line(f"REST says '{self._classes[label]}', gRPC says '{self._classes[again]}'")
        self._output.line(f"answered by {revision} at {status.url}")

    async def update(self) -> None:
        """A canary under load."""
        self._output.heading("\n2. A new version under load: examples/magika/v2.yaml")
        url = (await self._status()).url
        await self._apply("v2")
        await self._follow(until=lambda status: status.canary is not None)
        async with Load(url, NAME, [v2_body(row) for row in self._rows[:20]]) as load:
            await self._settle("v2", healthy=True)
            await asyncio.sleep(3)
        self._tell(load.counts)

    async def refusal(self) -> None:
        """A version that is good on its data set only."""
        self._output.heading("\n3. One that passes its gate and fails in service: v3.yaml")
        self._output.line("every 5th request is now a short file, which the data set lacks")
        short = np.full(self._rows.shape[1], PADDING, np.int32)
        short[:40] = 97
        rows = [short if number % 5 == 0 else self._rows[number] for number in range(20)]
        await self._apply("v3")
        await self._follow(until=lambda status: status.canary is not None)
        status = await self._status()
        async with Load(status.url, NAME, [v2_body(row) for row in rows]) as load:
            await self._settle("v3", healthy=False)
            await asyncio.sleep(1)
        self._tell(load.counts)
        assert status.stable is not None
        label, revision = await over_rest(status.url, NAME, self._rows[0])
        self._output.line(f"{revision} goes on serving: '{self._classes[label]}'", style="green")

    async def _apply(self, version: str) -> None:
        await self._session.apply(await asyncio.to_thread(read, MAGIKA / f"{version}.yaml"))

    async def _settle(self, version: str, *, healthy: bool) -> None:
        await self._follow(until=lambda _: self._follower.verdict is not None)
        if healthy != (self._follower.verdict == 0):
            raise SlipwayError(f"{version} ended otherwise than this story tells: see above")

    async def _follow(self, *, until: Callable[[Status], bool]) -> None:
        end = time.monotonic() + DEADLINE_SECONDS
        while True:
            await self._follower.look()
            if until(await self._status()) or self._follower.verdict is not None:
                return
            if time.monotonic() > end:
                raise SlipwayError(f"not settled within {DEADLINE_SECONDS:.0f} s: see above")
            await asyncio.sleep(LOOK_SECONDS)

    async def _status(self) -> Status:
        return parse_status(await self._session.resource(self._ref.namespace, self._ref.name))

    def _tell(self, counts: Counts) -> None:
        shares = ", ".join(f"{revision} {n}" for revision, n in counts.by_revision.items())
        failed = counts.failed.total()
        of = f" ({', '.join(f'{who} {n}' for who, n in counts.failed.items())})" if failed else ""
        self._output.line(f"{counts.total} requests, {failed} failed{of}; answered by: {shares}")


def prepare() -> None:
    """Model files and labelled rows, made from the installed packages."""
    subprocess.run([sys.executable, str(MAGIKA / "make_models.py"), str(MODELS)], check=True)
    dataset = MODELS / "magika.npz"
    subprocess.run([sys.executable, str(MAGIKA / "make_dataset.py"), str(dataset)], check=True)
    with np.load(dataset) as rows:
        few = np.random.default_rng(0).permutation(len(rows["labels"]))[:ROWS]
        chosen = {name: rows[name][few] for name in rows.files}
    np.savez(dataset, **chosen)


async def tell(run_dir: Path, output: Output) -> None:
    """The whole story."""
    began = time.monotonic()
    task = asyncio.current_task()
    assert task is not None
    on_interrupt(task.cancel)
    async with local_session(run_dir) as session:
        output.line(f"Slipway runs in this process, ready after {time.monotonic() - began:.1f} s")
        story = Story(session, output)
        await story.first_version()
        await story.update()
        await story.refusal()
    output.heading(f"\nDone in {time.monotonic() - began:.0f} s. What you saw:")
    output.line("- one resource: optimised, measured on this CPU, gated, served over REST and gRPC")
    output.line("- an update judged on measured requests and on agreeing predictions, 0 failed")
    output.line("- a model that no test set caught, caught in service and rolled back by itself")
    output.line(f"\nReports, manifests and logs: {run_dir}")
    output.line("Next: slipway local run -f examples/magika/v1.yaml --watch   and edit the file")
    output.line("      slipway optimize --help                                your own model")
    output.line("      docs/install.md                                        on a cluster")


def main() -> int:
    """Run it; 130 when interrupted."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--dir", default=".slipway/demo", help="artifacts and logs")
    run_dir = Path(parser.parse_args().dir)
    shutil.rmtree(run_dir, ignore_errors=True)
    run_dir.mkdir(parents=True)
    output = Output()
    output.heading("Slipway: from a trained model to gated production, by one resource")
    try:
        prepare()
        asyncio.run(tell(run_dir, output))
    except (asyncio.CancelledError, KeyboardInterrupt):
        output.line("interrupted: every process has been ended")
        return 130
    except SlipwayError as error:
        output.line(f"demo: {error}", style="red")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
