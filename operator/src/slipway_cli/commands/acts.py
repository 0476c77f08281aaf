"""``promote``, ``abort``, ``retry``: asking, by an annotation that names the revision meant."""

from argparse import Namespace
from datetime import UTC, datetime

from slipway.api.v1alpha1.resource import parse_status
from slipway.api.v1alpha1.status import Status
from slipway.contract import KIND, Annotation
from slipway.errors import Invalid
from slipway_cli.session import Session
from slipway_operator.plan.objects import Ref

_ANNOTATION = {
    "promote": Annotation.PROMOTE,
    "abort": Annotation.ABORT,
    "retry": Annotation.RETRY,
}


async def act(session: Session, args: Namespace) -> int:
    """Set the annotation for the revision that this can be asked of now."""
    resource = await session.resource(args.name)
    revision = subject(args.command, args.name, parse_status(resource))
    value = f"{revision}/{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
    patch = {"metadata": {"annotations": {str(_ANNOTATION[args.command]): value}}}
    await session.client.patch(Ref(KIND, session.namespace, args.name), patch)
    session.output.line(f"{args.command} of {revision} is asked for: slipway watch {args.name}")
    return 0


def subject(command: str, name: str, status: Status) -> str:
    """The revision that an act means.

    Raises:
        Invalid: there is nothing to promote, abort or retry.
    """
    if command in ("promote", "abort"):
        if status.canary is None:
            raise Invalid(f"'{name}' has no canary: there is nothing to {command}")
        return status.canary.revision
    target = status.target_revision
    refused = {entry.revision for entry in status.rejected_revisions}
    waiting = status.retry.revision if status.retry is not None else None
    if target is None or target not in refused | {waiting}:
        raise Invalid(f"'{name}' asks for no refused revision: there is nothing to retry")
    return target
