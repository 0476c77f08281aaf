"""What one reconcile would see: a resource as the API serves it, its children, facts of both."""

from datetime import UTC, datetime
from typing import Any

from slipway.api.v1alpha1.resource import parse_spec
from slipway.tasks import JobReport, format_report
from slipway_operator.plan import optimize
from slipway_operator.plan.memory import Memory
from slipway_operator.plan.objects import ref_of
from slipway_operator.plan.observed import Observed, Window
from slipway_operator.plan.render.revision import controller_revision
from slipway_operator.plan.revision import Revision, read_revision, snapshot, target_name
from slipway_operator.plan.rollout import Facts
from tests.support.builders import config, job_report, model_deployment

Json = dict[str, Any]
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
NAMESPACE_UID = "99999999-8888-7777-6666-555555555555"


def served(**spec: Any) -> Json:
    """A ModelDeployment as the API serves it: with uid, generation and version."""
    found = model_deployment(**spec)
    found["metadata"] |= {"uid": UID, "generation": 1, "resourceVersion": "7"}
    return found


def target_of(resource: Json) -> str:
    """The revision that it asks for."""
    return target_name(resource["metadata"]["name"], parse_spec(resource))


def stored_revision(
    resource: Json, *, number: int = 1, report: JobReport | None = None, **changes: Any
) -> Revision:
    """The revision that the resource asks for, as it is stored, optimised well."""
    content = snapshot(parse_spec(resource), namespace_uid=NAMESPACE_UID, config=config(**changes))
    obj = controller_revision(resource, target_of(resource), number, content)
    obj["metadata"]["uid"] = f"revision-{number}"
    text = format_report(report or job_report())
    obj["metadata"]["annotations"] = {"slipway.dev/result": text}
    found = read_revision(obj)
    assert found is not None
    return found


def server_pod(name: str, revision: str, *, ready: bool = True, **status: Any) -> Json:
    """A pod of the inference server."""
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": name,
            "labels": {
                "slipway.dev/model-deployment": "fraud",
                "slipway.dev/revision": revision,
                "app.kubernetes.io/component": "predictor",
            },
        },
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            **status,
        },
    }


def deployment_of(revision: str, replicas: int) -> Json:
    """A Deployment, as far as it is read."""
    return {
        "kind": "Deployment",
        "metadata": {"name": revision, "namespace": "default", "uid": f"deployment-{revision}"},
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas},
    }


def job_of(name: str, *, ended: str | None = None, **condition: Any) -> Json:
    """A Job; ``ended`` is ``Complete`` or ``Failed``."""
    conditions = (
        [
            {
                "type": ended,
                "status": "True",
                "lastTransitionTime": "2026-01-01T11:59:00Z",
                **condition,
            }
        ]
        if ended
        else []
    )
    return {
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default", "uid": f"job-{name}"},
        "status": {"conditions": conditions},
    }


def job_pod(job: Json, *, message: str = "", code: int = 0) -> Json:
    """The pod of a Job, its last container ended with that message."""
    terminated = {"exitCode": code, "message": message}
    return {
        "kind": "Pod",
        "metadata": {
            "name": f"{job['metadata']['name']}-x",
            "namespace": "default",
            "uid": "job-pod",
            "ownerReferences": [
                {"kind": "Job", "name": "j", "uid": job["metadata"]["uid"], "controller": True}
            ],
        },
        "status": {"containerStatuses": [{"name": "publish", "state": {"terminated": terminated}}]},
    }


def observed(
    resource: Json,
    *children: Json,
    now: datetime = NOW,
    windows: dict[str, Window] | None = None,
) -> Observed:
    """A snapshot of these objects."""
    return Observed(
        resource=resource,
        now=now,
        namespace_uid=NAMESPACE_UID,
        children={ref_of(child): child for child in children},
        windows=windows or {},
    )


def facts(
    resource: Json,
    *children: Json,
    outcome: optimize.Outcome | None = None,
    now: datetime = NOW,
    windows: dict[str, Window] | None = None,
) -> Facts:
    """Facts of the resource; by default its target is optimised and passed."""
    return Facts(
        observed=observed(resource, *children, now=now, windows=windows),
        spec=parse_spec(resource),
        target=target_of(resource),
        outcome=outcome or optimize.Done(job_report(), stored=True),
    )


def rolling(canary: str, *, stable: str | None = "fraud-old", weight: int = 20) -> Memory:
    """A rollout that began at ``NOW``."""
    return Memory(stable=stable).start(canary, NOW, weight=weight)
