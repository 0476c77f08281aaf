from pathlib import Path

import pytest

from slipway.api.v1alpha1 import predictor
from slipway.artifacts.credentials import StorageConfig
from slipway.artifacts.layout import digest_of
from slipway.errors import Invalid, NotFound
from slipway.tasks import ServingRequest
from slipway_server.served import Concurrency, Warmup
from slipway_server.settings import (
    Listen,
    LocalSource,
    ServedModel,
    ServerSettings,
    StoreSource,
    local_settings,
    pod_settings,
)
from slipway_server.state import Identity

DIGEST = "sha256:" + "a" * 64
LISTEN = Listen("127.0.0.1", 0, 0)


def written(tmp_path: Path, **changes: str) -> dict[str, str]:
    values = {
        "namespace": "team",
        "name": "iris",
        "revision": "iris-00001",
        "artifacts_uri": "s3://bucket/uid",
        "manifest_uri": "s3://bucket/uid/manifests/k/manifest.json",
        "manifest_digest": DIGEST,
    }
    request = ServingRequest(
        **values | changes,
        session=predictor.Session(intra_op_num_threads=3),
        concurrency=predictor.Concurrency(max_queued=5),
        warmup=predictor.Warmup(iterations=2),
    )
    (tmp_path / "request.json").write_text(request.model_dump_json())
    return {"SLIPWAY_REQUEST_FILE": str(tmp_path / "request.json")}


def test_a_pod_is_told_everything_by_its_request_and_environment(tmp_path: Path) -> None:
    secret = tmp_path / "storage" / "artifacts"
    secret.mkdir(parents=True)
    (secret / "AWS_ENDPOINT_URL").write_text("http://s3.local\n")
    env = written(tmp_path) | {
        "SLIPWAY_STORAGE_DIR": str(tmp_path / "storage"),
        "SLIPWAY_WORK_DIR": "/work",
        "SLIPWAY_HTTP_PORT": "8001",
        "SLIPWAY_GRPC_PORT": "9001",
        "SLIPWAY_BIND_ADDRESS": "127.0.0.1",
        "SLIPWAY_DRAIN_SECONDS": "0.5",
    }
    source = StoreSource(
        artifacts_uri="s3://bucket/uid",
        manifest_uri="s3://bucket/uid/manifests/k/manifest.json",
        digest=DIGEST,
        storage=StorageConfig(endpoint="http://s3.local"),
        work=Path("/work"),
    )
    assert pod_settings(env) == ServerSettings(
        models=(ServedModel(Identity("iris", "iris-00001", DIGEST), source),),
        listen=Listen("127.0.0.1", 8001, 9001),
        threads=3,
        concurrency=Concurrency(max_queued=5),
        warmup=Warmup(iterations=2),
        drain_seconds=0.5,
        grace_seconds=25,
    )


def test_a_pod_listens_on_every_address_and_drains_for_three_seconds(tmp_path: Path) -> None:
    settings = pod_settings(written(tmp_path))
    assert settings.listen == Listen(None, 8080, 9000)
    assert settings.drain_seconds == 3.0


def test_a_missing_or_foreign_request_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no request file"):
        pod_settings({"SLIPWAY_REQUEST_FILE": str(tmp_path / "absent")})
    path = tmp_path / "request.json"
    for text, message in (("{}", "namespace: Field required"), ("nonsense", "is not a Serving")):
        path.write_text(text)
        with pytest.raises(Invalid, match=message):
            pod_settings({"SLIPWAY_REQUEST_FILE": str(path)})


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "1e9"])
def test_a_time_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(Invalid, match="SLIPWAY_DRAIN_SECONDS is"):
        pod_settings(written(tmp_path) | {"SLIPWAY_DRAIN_SECONDS": value})


def test_a_folder_is_served_as_the_version_that_its_manifest_is(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"{}")
    digest = digest_of(b"{}")
    settings = local_settings([("iris", tmp_path)], listen=LISTEN, env={})
    identity = Identity("iris", digest[7:19], digest)
    assert settings.models == (ServedModel(identity, LocalSource(tmp_path.resolve())),)
    assert settings.drain_seconds == 0


def test_several_models_need_several_names(tmp_path: Path) -> None:
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    settings = local_settings([(None, first), ("second", second)], listen=LISTEN, env={})
    assert [model.identity.name for model in settings.models] == ["a", "second"]
    with pytest.raises(Invalid, match="two models are called 'a': name them with --model"):
        local_settings([(None, first), ("a", second)], listen=LISTEN, env={})


def test_a_bare_model_is_named_after_its_file(tmp_path: Path) -> None:
    settings = local_settings([(None, tmp_path / "iris.onnx")], listen=LISTEN, env={})
    assert [model.identity for model in settings.models] == [Identity("iris", "1", "")]


@pytest.mark.parametrize("name", ["a/b", "", "ä", "-a", "a b", "a" * 200])
def test_a_name_that_no_url_carries_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Invalid, match="is no name for a model"):
        local_settings([(name or " ", tmp_path / f"x{name}.onnx")], listen=LISTEN, env={})
