"""Step 9: what is deleted goes; what was only uninstalled goes on serving."""

import time

from tests.e2e.figures import tell
from tests.e2e.helm import Installation
from tests.e2e.space import Space, identities
from tests.support.kubectl import Json, Kubectl, eventually
from tests.support.load import Mix

KINDS = "deployments,replicasets,pods,services,jobs,controllerrevisions,hpa,pdb"
PLAIN: Json = {"optimization": {"mode": "ConvertOnly"}}


def children(space: Space, name: str) -> set[str]:
    """Everything that carries a resource's label."""
    label = f"slipway.dev/model-deployment={name}"
    return set(space.kubectl("get", KINDS, "-l", label, "-o", "name").split())


def test_children_go_with_their_resource(stage: Space) -> None:
    space = stage
    scaling = {"minReplicas": 1, "maxReplicas": 2}
    space.apply(space.digits("one", **PLAIN, autoscaling=scaling))
    space.apply(space.digits("other", **PLAIN))
    space.healthy("one")
    space.healthy("other")
    kinds = {child.partition("/")[0].partition(".")[0] for child in children(space, "one")}
    assert {
        "deployment", "pod", "service", "job", "controllerrevision", "horizontalpodautoscaler",
        "poddisruptionbudget",
    } <= kinds  # fmt: skip
    kept = children(space, "other")
    assert not space.kubectl.get("mdep", "one")["metadata"].get("finalizers")
    began = time.monotonic()
    space.kubectl("delete", "mdep", "one")
    eventually("without children", lambda: not children(space, "one"), seconds=90)
    tell(f"delete -> no child left: {time.monotonic() - began:.0f} s")
    assert children(space, "other") == kept


def test_uninstalling_leaves_models_serving_and_a_new_install_adopts_them(
    stage: Space, installation: Installation
) -> None:
    space = stage
    space.apply(space.digits("other", **PLAIN))
    before = space.settled("other")
    pods = identities(space.servers("other"))
    generations = {n: d["metadata"]["generation"] for n, d in space.deployments("other").items()}
    with space.load("other", Mix.half_kept(30)) as load:
        installation.uninstall()
        assert Kubectl().names("crd") >= {"modeldeployments.slipway.dev"}
        time.sleep(3)
        installation.install()
        eventually("a leader", installation.leader, seconds=40)
        since = len(space.watch.states("other"))
        # It is in charge again: what is asked for now happens.
        space.kubectl("scale", "mdep", "other", "--replicas=2")
        space.healthy("other", since=since)
    tell(
        f"uninstalled and installed again in {installation.seconds:.0f} s: {load.result.summary()}"
    )
    assert load.result.failures == []
    after = space.status("other")
    assert after["stable"]["revision"] == before["stable"]["revision"]
    now = identities(space.servers("other"))
    assert pods.items() <= now.items()
    for name, deployment in space.deployments("other").items():
        assert deployment["metadata"]["generation"] == generations[name] + 1  # the scale alone


def test_a_namespace_with_models_can_be_deleted(stage: Space) -> None:
    space = stage
    space.apply(space.digits("other", **PLAIN))
    space.settled("other")
    space.apply(space.digits("under-way", model="digits-2.skops", **PLAIN))
    Kubectl()("delete", "namespace", space.name, "--wait=false")
    eventually(
        "without the namespace", lambda: space.name not in Kubectl().names("ns"), seconds=120
    )
