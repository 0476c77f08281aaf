from typing import Any

from slipway_local.controllers.replicaset import deletion_order
from tests.support.manifests import merged, pod


def seen(name: str, *, phase: str = "Running", ready: str = "", **rest: Any) -> dict[str, Any]:
    """A pod as it stands; ``ready`` is the second of the first minute since it is ready."""
    condition = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": f"2026-01-01T00:00:{ready}Z",
    }
    status = {"phase": phase, "conditions": [condition] if ready else []}
    status["containerStatuses"] = [{"restartCount": rest.get("restarts", 0)}]
    made = f"2026-01-01T00:00:{rest.get('made', '00')}Z"
    return merged(pod(name), {"status": status, "metadata": {"creationTimestamp": made}})


def test_pods_go_pending_first_then_unready_then_the_newest() -> None:
    pods = [
        seen("old", ready="05"),
        seen("restarted", ready="05", restarts=2),
        seen("young", ready="09", made="04"),
        seen("unready"),
        seen("unready-young", made="07"),
        seen("pending", phase="Pending"),
    ]

    names = [pod["metadata"]["name"] for pod in deletion_order(pods)]

    assert names == ["pending", "unready-young", "unready", "young", "restarted", "old"]
