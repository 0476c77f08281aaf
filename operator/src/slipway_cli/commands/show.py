"""``get``, ``describe``, ``watch`` and ``logs``: reading."""

import asyncio
from argparse import Namespace
from datetime import UTC, datetime

from slipway import contract
from slipway.api.v1alpha1.resource import parse_status
from slipway.api.v1alpha1.status import Phase, Status
from slipway.contract import Component, Label
from slipway.errors import Invalid, NotFound, Transient
from slipway_cli import view
from slipway_cli.session import Session
from slipway_operator.plan.objects import Object, labels

FAILED = 1  # what was asked for is not so
TIMED_OUT = 124  # as timeout(1)


async def get(session: Session, args: Namespace) -> int:
    """List, or show one."""
    if args.name:
        found = [await session.resource(args.name)]
    else:
        scope = None if args.all_namespaces else session.namespace
        found = list((await session.client.list(contract.KIND, scope)).items)
    if session.output.structured:
        session.output.value(found[0] if args.name else {"items": found})
    elif found:
        now = datetime.now(UTC)
        session.output.table(view.table(found, now, all_namespaces=args.all_namespaces))
    else:
        where = "any namespace" if args.all_namespaces else f"namespace '{session.namespace}'"
        session.output.line(f"no ModelDeployments in {where}")
    return 0


async def describe(session: Session, args: Namespace) -> int:
    """Tell the story of one."""
    resource = await session.resource(args.name)
    if session.output.structured:
        session.output.value(resource)
        return 0
    events = await _events(session, resource)
    for line in view.describe(resource, events, datetime.now(UTC)):
        session.output.line(line)
    return 0


async def _events(session: Session, resource: Object) -> list[Object]:
    uid = resource["metadata"]["uid"]
    listing = await session.client.list("Event", session.namespace)
    return [e for e in listing.items if (e.get("involvedObject") or {}).get("uid") == uid]


async def watch(session: Session, args: Namespace) -> int:
    """Print every change until it is healthy or refused."""
    try:
        async with asyncio.timeout(args.timeout):
            return await _follow(session, args.name)
    except TimeoutError:
        session.output.line(f"not settled after {args.timeout} s")
        return TIMED_OUT


async def _follow(session: Session, name: str) -> int:
    said = ""
    while True:
        resource = await session.resource(name)
        status = parse_status(resource)
        line = view.progress_line(status)
        if line != said:
            session.output.line(f"{datetime.now(UTC):%H:%M:%S} {line}")
            said = line
        verdict = settled(status, resource)
        if verdict is not None:
            return verdict
        version = resource["metadata"]["resourceVersion"]
        try:
            async for event in session.client.watch(
                contract.KIND, session.namespace, selector="", resource_version=version
            ):
                mine = event.object["metadata"].get("name") == name
                if event.type != "BOOKMARK" and mine:
                    break
        except Transient as error:
            session.output.line(str(error))
            await asyncio.sleep(1)


def settled(status: Status, resource: Object) -> int | None:
    """Exit code once nothing more will happen by itself: 0 healthy, 1 refused, else ``None``."""
    if status.observed_generation != resource["metadata"].get("generation"):
        return None
    if any(condition.type == "Stalled" for condition in status.conditions):
        return FAILED
    return 0 if status.phase is Phase.HEALTHY else None


async def logs(session: Session, args: Namespace) -> int:
    """Print the logs of a revision's pods."""
    resource = await session.resource(args.name)
    component = Component.OPTIMIZER if args.optimizer else Component.PREDICTOR
    revision = args.revision or _newest(parse_status(resource), optimizer=args.optimizer)
    selector = f"{Label.MODEL_DEPLOYMENT}={args.name},{Label.APP_COMPONENT}={component}"
    listing = await session.client.list("Pod", session.namespace, selector=selector)
    pods = [p for p in listing.items if revision in (None, labels(p).get(Label.REVISION))]
    if not pods:
        raise NotFound(
            f"no {component} pod of '{args.name}'" + (f" {revision}" if revision else "")
        )
    for pod in pods:
        await _print_logs(session, pod, tail=args.tail)
    return 0


def _newest(status: Status, *, optimizer: bool) -> str | None:
    pointer = status.canary or status.stable
    return None if optimizer or pointer is None else pointer.revision


async def _print_logs(session: Session, pod: Object, *, tail: int) -> None:
    spec = pod["spec"]
    for container in (*spec.get("initContainers", ()), *spec["containers"]):
        heading = f"== {pod['metadata']['name']} {container['name']}"
        try:
            text = await session.client.logs(
                session.namespace, pod["metadata"]["name"], container["name"], tail=tail
            )
        except (Invalid, NotFound) as error:
            session.output.line(f"{heading}: {error}")
            continue
        session.output.heading(heading)
        session.output.line(text.rstrip("\n"))
