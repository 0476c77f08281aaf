import base64

import pytest

from slipway.errors import Invalid
from slipway_local.pods.volumes import Mount, mounts_of
from slipway_operator.plan.objects import Object
from tests.support.manifests import container, merged, pod, secret

STORE = secret("store", {"AWS_REGION": base64.b64encode(b"eu-1").decode()})
REQUEST = {"fieldRef": {"fieldPath": "metadata.annotations['slipway.dev/request']"}}


def find(name: str) -> Object | None:
    return STORE if name == "store" else None


def mounts(volume: Object) -> tuple[Mount, ...]:
    made = pod("p", container(), volumes=[{"name": "v", **volume}])
    meta = {"annotations": {"slipway.dev/request": '{"a":1}'}, "uid": "u", "namespace": "default"}
    made = merged(made, {"metadata": meta, "spec": {"nodeName": "n"}, "status": {"podIP": "ip"}})
    return mounts_of(made, container(volumeMounts=[{"name": "v", "mountPath": "/m"}]), find)


@pytest.mark.parametrize(
    ("volume", "files"),
    [
        ({"emptyDir": {}}, None),
        ({"secret": {"secretName": "store"}}, {"AWS_REGION": b"eu-1"}),
        (
            {"secret": {"secretName": "store", "items": [{"key": "AWS_REGION", "path": "r"}]}},
            {"r": b"eu-1"},
        ),
        ({"secret": {"secretName": "gone", "optional": True}}, {}),
        (
            {"downwardAPI": {"items": [{"path": "request.json", **REQUEST}]}},
            {"request.json": b'{"a":1}'},
        ),
        (
            {"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "metadata.name"}}]}},
            {"x": b"p"},
        ),
    ],
)
def test_a_volume_is_seen_as(volume: Object, files: dict[str, bytes] | None) -> None:
    assert mounts(volume) == (Mount("/m", "v", files),)


@pytest.mark.parametrize(
    ("volume", "reason"),
    [
        ({"secret": {"secretName": "gone"}}, "secret 'gone' not found"),
        ({"hostPath": {"path": "/"}}, "of the kind 'hostPath'"),
        (
            {"downwardAPI": {"items": [{"path": "x", "fieldRef": {"fieldPath": "spec.secret"}}]}},
            "fieldPath 'spec.secret'",
        ),
    ],
)
def test_a_volume_that_cannot_be_had_is_refused(volume: Object, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        mounts(volume)


def test_a_secret_that_is_not_base64_is_refused_without_showing_it() -> None:
    made = pod("p", container(), volumes=[{"name": "v", "secret": {"secretName": "bad"}}])
    mounting = container(volumeMounts=[{"name": "v", "mountPath": "/m"}])

    with pytest.raises(Invalid, match="not base64") as refusal:
        mounts_of(made, mounting, lambda name: secret(name, {"k": "s3cret!"}))

    assert "s3cret" not in str(refusal.value)
