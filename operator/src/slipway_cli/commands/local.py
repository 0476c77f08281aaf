"""``slipway local run``: apply files to a cluster inside this process and show what happens."""

import asyncio
from argparse import Namespace
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from slipway.api.v1alpha1.resource import parse_status
from slipway.api.v1alpha1.status import Phase, Status
from slipway.errors import Invalid, NotFound
from slipway.interrupts import on_interrupt
from slipway_cli import view
from slipway_cli.commands.show import settled
from slipway_cli.output import Output, load_yaml
from slipway_local.files import prepare
from slipway_local.session import LocalSession, local_session, names
from slipway_operator.plan.objects import Object, Ref

_LOOK_SECONDS = 0.2


async def run(output: Output, args: Namespace) -> int:
    """Run until stopped, or until everything is settled.

    Raises:
        Invalid: a file cannot be read or is refused.
    """
    files = [Path(name) for name in args.file]
    objects = [obj for file in files for obj in read(file)]
    if not names(objects):
        raise Invalid(f"no ModelDeployment in {', '.join(args.file)}")
    run_dir = Path(args.dir) if args.dir else Path(".slipway")
    stop = asyncio.Event()
    on_interrupt(stop.set)
    async with local_session(run_dir) as session:
        await session.apply(objects)
        follower = Follower(session, output, names(objects))
        changed = {file: file.stat().st_mtime_ns for file in files}
        while not stop.is_set():
            await follower.look()
            if args.until_settled and follower.verdict is not None:
                return follower.verdict
            if args.watch:
                await _apply_changed(session, output, changed)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await stop.wait()
        output.line("stops: ends every process that it started")
    return 0


def read(file: Path) -> list[Object]:
    """Objects of a YAML file, ready to be applied.

    Raises:
        Invalid: not there, not YAML, or refused.
    """
    try:
        documents = load_yaml(file.read_text())
    except OSError as error:
        raise Invalid(f"-f {file}: {error.strerror}") from error
    except ValueError as error:
        raise Invalid(f"-f {file} is not YAML: {error}") from error
    return prepare(documents, folder=file.resolve().parent, where=str(file))


async def _apply_changed(session: LocalSession, output: Output, changed: dict[Path, int]) -> None:
    for file, seen in changed.items():
        with suppress(FileNotFoundError):
            now = file.stat().st_mtime_ns
            if now == seen:
                continue
            changed[file] = now
            try:
                await session.apply(read(file))
                output.line(f"applied {file} again")
            except Invalid as error:
                output.line(f"not applied: {error}", style="red")


class Follower:
    """Prints what changes, once.

    Attributes:
        verdict: 0 when all are healthy, 1 when one is refused, ``None`` before.
    """

    def __init__(self, session: LocalSession, output: Output, refs: list[Ref]) -> None:
        self.verdict: int | None = None
        self._session = session
        self._output = output
        self._refs = refs
        self._said: dict[Ref, str] = {}
        self._shown: dict[Ref, str] = {}

    async def look(self) -> None:
        """Look at every resource and print its news."""
        verdicts = [await self._one(ref) for ref in self._refs]
        unsettled = any(verdict is None for verdict in verdicts)
        self.verdict = None if unsettled else max(v for v in verdicts if v is not None)

    async def _one(self, ref: Ref) -> int | None:
        try:
            resource = await self._session.resource(ref.namespace, ref.name)
        except NotFound:
            return 1
        status = parse_status(resource)
        line = view.progress_line(status)
        if line != self._said.get(ref) and status.observed_generation:
            self._said[ref] = line
            style = {Phase.HEALTHY: "green", Phase.DEGRADED: "red"}.get(status.phase, "")
            self._output.line(f"{datetime.now(UTC):%H:%M:%S} {ref.name} {line}", style=style)
        self._candidates(ref, status)
        return settled(status, resource)

    def _candidates(self, ref: Ref, status: Status) -> None:
        for revision in (status.canary, status.stable):
            if revision is None or revision.validation is None or revision.artifact is None:
                continue
            if self._shown.get(ref) == revision.revision or not revision.validation.candidates:
                return
            self._shown[ref] = revision.revision
            picked = revision.artifact.variant
            self._output.table(view.candidates(revision.validation.candidates, picked))
            return
