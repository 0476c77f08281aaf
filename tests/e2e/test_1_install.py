"""Step 1: helm install."""

import json
import urllib.request

import pytest

from tests.e2e.helm import CHART, Installation, helm, is_ready
from tests.e2e.settings import RELEASE, SYSTEM, Images
from tests.support.kubectl import Kubectl, Refused, eventually

CRD = "modeldeployments.slipway.dev"


def test_an_operator_without_the_crd_says_so_and_how_to_get_it(images: Images) -> None:
    """Before everything else: once installed, the CRD stays."""
    if Kubectl().names("crd") & {CRD}:
        pytest.skip("the CRD is there already: this cluster was used before")
    operator = Installation(images)
    flags = ["--create-namespace", "--set", "crds.install=false", "--set", "replicaCount=1"]
    helm("install", RELEASE, str(CHART), "--namespace", SYSTEM, *flags, *operator.values())
    try:
        said = eventually(
            "a word about the CRD", lambda: _logs_with(operator, "not installed"), seconds=60
        )
    finally:
        operator.uninstall()
    assert "CustomResourceDefinition modeldeployments.slipway.dev is not installed" in said
    assert "crds.install=true" in said
    assert "Traceback" not in said


def _logs_with(operator: Installation, words: str) -> str:
    try:
        log = operator.log()
    except Refused:
        return ""
    return log if words in log else ""


def test_two_replicas_are_ready_and_one_of_them_leads(installation: Installation) -> None:
    pods = {pod["metadata"]["name"] for pod in installation.ready_pods()}
    assert len(pods) == 2
    # After a Lease that nobody gave back, the others wait until it runs out.
    eventually("one leader", lambda: installation.leader() in pods, seconds=30)


def test_the_operator_shows_its_health_and_metrics(installation: Installation) -> None:
    for pod in installation.ready_pods():
        address = f"http://{pod['status']['podIP']}:8081"
        assert _get(f"{address}/healthz")[0] == 200
        assert _get(f"{address}/readyz")[0] == 200
        status, text = _get(f"{address}/metrics")
        assert status == 200
        assert "slipway_operator" in text


def _get(url: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=5) as answer:
        return answer.status, answer.read().decode()


def test_the_crd_is_established_and_kept_on_uninstall(installation: Installation) -> None:
    crd = Kubectl().get("crd", CRD)
    conditions = {c["type"]: c["status"] for c in crd["status"]["conditions"]}
    assert conditions["Established"] == "True"
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert crd["spec"]["names"]["shortNames"] == ["mdep"]


@pytest.mark.parametrize(
    "right",
    [
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "pods"),
        ("get", "configmaps"),
        ("create", "rolebindings.rbac.authorization.k8s.io"),
        ("update", "modeldeployments.slipway.dev"),
        ("delete", "namespaces"),
        ("*", "*"),
    ],
    ids=" ".join,
)
def test_the_operator_has_no_right_that_it_does_not_need(
    installation: Installation, right: tuple[str, str]
) -> None:
    user = f"--as=system:serviceaccount:{SYSTEM}:{RELEASE}"
    with pytest.raises(Refused, match="no"):
        Kubectl("default")("auth", "can-i", *right, user)


def test_pods_of_the_operator_obey_the_restricted_profile(installation: Installation) -> None:
    """The API server itself judges them: it would warn."""
    label = "pod-security.kubernetes.io/enforce=restricted"
    said = Kubectl()("label", "--dry-run=server", "--overwrite", "namespace", SYSTEM, label)
    assert "labeled" in said
    assert all(is_ready(pod) for pod in installation.pods())


def test_a_value_that_does_not_exist_is_refused(images: Images) -> None:
    with pytest.raises(Refused, match="replicaCout"):
        helm("template", RELEASE, str(CHART), "--set", "replicaCout=3")


def test_a_kubernetes_that_is_too_old_is_refused() -> None:
    with pytest.raises(Refused, match="incompatible with Kubernetes"):
        helm("template", RELEASE, str(CHART), "--kube-version", "1.24.0")


def test_with_watch_namespaces_there_is_no_right_beyond_them() -> None:
    flags = ["--set", "watchNamespaces={team-a,team-b}", "--show-only", "templates/rbac.yaml"]
    rendered = helm("template", RELEASE, str(CHART), "--namespace", SYSTEM, *flags)
    objects = [part for part in rendered.split("---") if "kind:" in part]
    kinds = {
        line.split()[1] for part in objects for line in part.splitlines() if line[:5] == "kind:"
    }
    assert kinds == {"Role", "RoleBinding"}


def test_the_notes_name_the_next_step(installation: Installation) -> None:
    notes = json.dumps(installation.notes)
    assert "kind: ModelDeployment" in notes
    assert "MISSING" not in notes
