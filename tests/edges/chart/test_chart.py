"""The chart as the real helm renders it: its objects, the CRD, and where it refuses to go."""

from pathlib import Path

import pytest
import yaml

from tests.support import helm as real
from tests.support.charts import CONFINED, EVERYTHING, Render, only
from tests.support.helm import CHART, Json, Refused

pytestmark = pytest.mark.skipif(real.program() is None, reason=real.MISSING)


@pytest.mark.parametrize("values", [{}, EVERYTHING, CONFINED], ids=["default", "all", "confined"])
def test_lint_finds_nothing(values: Json, tmp_path: Path) -> None:
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump(values))
    assert "0 chart(s) failed" in real.helm("lint", "--strict", str(CHART), "-f", str(path))


def test_by_default_there_are_these_objects(render: Render) -> None:
    names = sorted(f"{obj['kind']}/{obj['metadata']['name']}" for obj in render())
    assert names == [
        "ClusterRole/slipway-modeldeployments-edit",
        "ClusterRole/slipway-modeldeployments-view",
        "ClusterRole/slipway-system-slipway",
        "ClusterRoleBinding/slipway-system-slipway",
        "ConfigMap/slipway",
        "CustomResourceDefinition/modeldeployments.slipway.dev",
        "Deployment/slipway",
        "NetworkPolicy/slipway",
        "PodDisruptionBudget/slipway",
        "Role/slipway-leader",
        "RoleBinding/slipway-leader",
        "Service/slipway-metrics",
        "ServiceAccount/slipway",
    ]


def test_the_crd_is_the_generated_one_and_kept(render: Render) -> None:
    found = only(render(), "CustomResourceDefinition")
    plain = yaml.safe_load((CHART.parents[1] / "crds" / "modeldeployments.yaml").read_text())
    assert found["spec"] == plain["spec"]
    assert found["metadata"]["name"] == plain["metadata"]["name"]
    assert found["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_the_crd_goes_with_the_release_when_it_is_not_kept(render: Render) -> None:
    found = only(render({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert "annotations" not in found["metadata"]


def test_an_old_kubernetes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"1\.30"):
        real.helm("template", "slipway", str(CHART), "--kube-version", "1.29.9")
