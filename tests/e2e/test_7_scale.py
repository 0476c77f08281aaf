"""Step 7: replicas by an autoscaler, and by hand."""

import json
import time

from tests.e2e.figures import tell
from tests.e2e.space import Space
from tests.support.kubectl import Json, eventually
from tests.support.load import Mix

QUICK: Json = {"scaleDown": {"stabilizationWindowSeconds": 15}}
AUTOSCALING: Json = {
    "minReplicas": 1,
    "maxReplicas": 3,
    "metrics": [
        {
            "type": "Resource",
            "resource": {
                "name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 50},
            },
        }
    ],
    "behavior": QUICK,
}
SPEC: Json = {
    "optimization": {"mode": "ConvertOnly"},
    "predictor": {
        "resources": {"requests": {"cpu": "40m", "memory": "128Mi"}},
        "concurrency": {"maxConnectionAgeSeconds": 2},
    },
}


def replicas(space: Space) -> int:
    """Of the one Deployment."""
    (deployment,) = space.deployments("digits").values()
    found: int = deployment["spec"]["replicas"]
    return found


def test_an_autoscaler_takes_it_from_one_to_three_and_back(space: Space) -> None:
    space.apply(space.digits("digits", **SPEC, autoscaling=AUTOSCALING))
    space.healthy("digits")
    assert replicas(space) == 1
    began = time.monotonic()
    with space.load("digits", Mix.half_kept(200)) as load:
        eventually("three replicas", lambda: replicas(space) == 3, seconds=120, period=1)
        up = time.monotonic() - began
        # Whatever makes the operator look again must leave the scaler's number alone.
        space.kubectl("annotate", "mdep", "digits", "example.com/touched=yes")
        time.sleep(5)
        assert replicas(space) == 3
        eventually("ready", lambda: space.status("digits")["replicas"] == 3, seconds=60)
    assert load.result.failures == []
    began = time.monotonic()
    eventually("one replica", lambda: replicas(space) == 1, seconds=180, period=1)
    down = time.monotonic() - began
    tell(f"autoscaler 1 -> 3 in {up:.0f} s, 3 -> 1 in {down:.0f} s: {load.result.summary()}")
    (scaler,) = space.kubectl.list("hpa")
    assert scaler["spec"]["scaleTargetRef"]["name"] in space.deployments("digits")
    assert replica_owners(space) <= {"kube-controller-manager"}  # a scaler may own nothing


def replica_owners(space: Space) -> set[str]:
    """Who wrote the number of replicas that holds."""
    shown = space.kubectl("get", "deployments", "--show-managed-fields", "-o", "json")
    (deployment,) = json.loads(shown)["items"]
    return {
        entry["manager"]
        for entry in deployment["metadata"]["managedFields"]
        if "f:replicas" in (entry["fieldsV1"].get("f:spec") or {})
    }


def test_without_an_autoscaler_replicas_and_kubectl_scale_work(space: Space) -> None:
    space.apply(space.digits("digits", **SPEC, replicas=2))
    space.healthy("digits")
    assert replicas(space) == 2
    space.kubectl("scale", "mdep", "digits", "--replicas=3")
    eventually("three replicas", lambda: replicas(space) == 3, seconds=20)
    since = len(space.watch.states("digits"))
    space.kubectl("scale", "mdep/digits", "--replicas=1", "--current-replicas=3")
    eventually("one replica", lambda: replicas(space) == 1, seconds=20)
    done = space.healthy("digits", since=since)
    assert done["spec"]["replicas"] == 1
    scale = space.kubectl(
        "get",
        "--raw",
        f"/apis/slipway.dev/v1alpha1/namespaces/{space.name}/modeldeployments/digits/scale",
    )
    assert '"selector":"' in scale
