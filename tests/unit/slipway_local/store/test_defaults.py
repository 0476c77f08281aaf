from slipway_local.clock import VirtualClock
from slipway_local.objects import Objects
from tests.support import builders, manifests
from tests.support.manifests import container, template


def objects() -> Objects:
    return Objects(VirtualClock())


def test_a_deployment_has_one_replica_unless_it_says_otherwise() -> None:
    assert objects().create(manifests.deployment())["spec"]["replicas"] == 1
    assert objects().create(manifests.deployment(replicas=0))["spec"]["replicas"] == 0


def test_requests_are_the_limits_when_only_these_are_given() -> None:
    limits = {"cpu": "2", "memory": "1Gi"}
    pod = template(container(resources={"limits": limits, "requests": {"cpu": "1"}}))

    made = objects().create(manifests.deployment(pod=pod))

    resources = made["spec"]["template"]["spec"]["containers"][0]["resources"]
    assert resources == {"limits": limits, "requests": {"cpu": "1", "memory": "1Gi"}}


def test_a_probe_is_asked_every_ten_seconds_and_may_fail_thrice() -> None:
    probe = {"httpGet": {"port": 80}}

    made = objects().create(manifests.pod("p", container(livenessProbe=probe)))

    assert made["spec"]["containers"][0]["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def test_a_job_selects_its_pods_by_its_uid() -> None:
    made = objects().create(manifests.job("task"))

    uid = made["metadata"]["uid"]
    assert made["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert made["spec"]["template"]["metadata"]["labels"] == {
        **manifests.LABELS,
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": "task",
    }
    assert made["spec"]["backoffLimit"] == 6


def test_services_get_addresses_of_their_own_and_target_their_own_port() -> None:
    store = objects()
    first = store.create(manifests.service("a", ports=[{"port": 80}]))
    second = store.create(manifests.service("b"))

    assert first["spec"]["clusterIP"] != second["spec"]["clusterIP"]
    assert first["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]


def test_a_headless_service_stays_without_address() -> None:
    made = objects().create(manifests.service(clusterIP="None"))

    assert made["spec"]["clusterIP"] == "None"


def test_a_resource_is_defaulted_as_its_crd_says_and_only_where_objects_are() -> None:
    manifest = builders.model_deployment("m", optimization={})
    del manifest["spec"]["replicas"]

    spec = objects().create(manifest)["spec"]

    assert spec["replicas"] == 1
    assert spec["optimization"]["mode"] == "Auto"
    assert "validation" not in spec
