"""Who may talk to whom, and what is scraped."""

import pytest

from slipway.contract import Port
from tests.support import helm as real
from tests.support.charts import EVERYTHING, Render, of, only
from tests.support.helm import Refused

pytestmark = pytest.mark.skipif(real.program() is None, reason=real.MISSING)


def test_the_operator_accepts_nothing_but_probes_and_scrapes(render: Render) -> None:
    policy = only(render(), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"] == [{"ports": [{"port": 8081, "protocol": "TCP"}]}]


def test_model_pods_accept_inference_and_reach_dns_and_stores_only(render: Render) -> None:
    policies = {
        (obj["metadata"]["namespace"], obj["metadata"]["name"]): obj["spec"]
        for obj in of(render(EVERYTHING), "NetworkPolicy")
    }
    for namespace in ("team-a", "team-b"):
        predictor = policies[namespace, "slipway-predictor"]
        ports = [port["port"] for rule in predictor["ingress"] for port in rule["ports"]]
        assert ports == [int(Port.HTTP), int(Port.GRPC)]
        for name in ("predictor", "optimizer", "replay"):
            spec = policies[namespace, f"slipway-{name}"]
            assert spec["policyTypes"] == ["Ingress", "Egress"]
            assert spec["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == name
            reached = {port["port"] for rule in spec["egress"] for port in rule["ports"]}
            assert reached == {53, 443, 9000} | ({8080} if name == "replay" else set())
            blocks = [
                to["ipBlock"] for r in spec["egress"] for to in r.get("to", ()) if "ipBlock" in to
            ]
            assert ["169.254.0.0/16"] in [block["except"] for block in blocks]
        assert "ingress" not in policies[namespace, "slipway-optimizer"]


def test_a_policy_for_models_needs_to_know_their_namespaces(render: Render) -> None:
    with pytest.raises(Refused, match="needs watchNamespaces"):
        render({"networkPolicy": {"models": {"enabled": True}}})


def test_a_service_monitor_selects_the_metrics_service(render: Render) -> None:
    objects = render(EVERYTHING)
    monitor, service = only(objects, "ServiceMonitor"), only(objects, "Service")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert (
        monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    )
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
