"""What the machine and its API server allow: the operator's children, written by a bare client.

No operator can be faster than this on the machine of the run, so figures of the operator are read
against it.
"""

import asyncio
import copy
import time
from typing import Any, Final

from slipway_operator.kube.client import KubeClient
from slipway_operator.plan.objects import Object

CONCURRENCY: Final = 8
_SERVER_SET: Final = frozenset(
    {
        "creationTimestamp", "generation", "managedFields", "ownerReferences", "resourceVersion",
        "uid",
    }
)  # fmt: skip
_SERVICE_SET: Final = frozenset({"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"})
_JOB_LABELS: Final = ("controller-uid", "job-name")


async def seconds_to_write(
    client: KubeClient, children: list[Object], *, name: str, count: int
) -> float:
    """Create the children of one resource ``count`` times.

    Args:
        client: with no gate.
        children: as the API server shows them.
        name: of their resource; its place in names is taken by a number.
        count: how many times.
    """
    bodies = [_unset(child) for child in children]
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            for body in bodies:
                await client.create(_named(body, name, f"bare{number:05d}"))

    began = time.monotonic()
    await asyncio.gather(*(worker() for _ in range(CONCURRENCY)))
    return time.monotonic() - began


def _named(body: Object, name: str, other: str) -> Object:
    meta = body["metadata"]
    return {**body, "metadata": {**meta, "name": meta["name"].replace(name, other)}}


def _unset(child: Object) -> Object:
    """The object without what the API server set."""
    body = copy.deepcopy(child)
    body.pop("status", None)
    body["metadata"] = {k: v for k, v in body["metadata"].items() if k not in _SERVER_SET}
    if body["kind"] == "Service":
        body["spec"] = {k: v for k, v in body["spec"].items() if k not in _SERVICE_SET}
    if body["kind"] == "Job":
        body["spec"].pop("selector", None)
        _without_job_labels(body["metadata"])
        _without_job_labels(body["spec"]["template"]["metadata"])
    return body


def _without_job_labels(meta: dict[str, Any]) -> None:
    labels = meta.get("labels") or {}
    meta["labels"] = {k: v for k, v in labels.items() if not k.endswith(_JOB_LABELS)}
