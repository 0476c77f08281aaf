"""A pod and its store: a real S3, one that is gone, one that is silent, one without a login."""

import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.artifacts.store import open_store
from slipway.contract import ServerMetric
from tests.support.pods import GOOD, Pod
from tests.support.s3 import S3Server, running_s3, s3
from tests.support.server import serving, wait_listening

__all__ = ["s3"]


def test_a_pod_starts_from_s3_and_restarts_without_it(tmp_path: Path) -> None:
    with running_s3() as s3:
        bucket = s3.bucket()
        root = f"s3://{bucket}/uid"
        key, digest = GOOD.publish(open_store(root, s3.config), tmp_path)
        request = Pod.of(GOOD, tmp_path).request.model_copy(
            update={"artifacts_uri": root, "manifest_uri": f"{root}/{key}"}
        )
        assert digest == request.manifest_digest
        s3.secret_folder(tmp_path / "storage" / "artifacts")
        pod = Pod(tmp_path, request, tmp_path / "storage")
        with serving(env=pod.env) as server:
            assert server.infer([1.0, 2.0])[0] == 200
    with serving(env=pod.env) as server:  # the container restarts; its store is gone
        assert server.infer([1.0, 2.0])[0] == 200


def test_wrong_credentials_are_the_users_to_mend(tmp_path: Path, s3: S3Server) -> None:
    root = f"s3://{s3.bucket()}/uid"
    request = Pod.of(GOOD, tmp_path).request.model_copy(
        update={"artifacts_uri": root, "manifest_uri": f"{root}/manifest.json"}
    )
    wrong = replace(s3.config, secret_access_key="wrong-but-secret")
    S3Server(wrong).secret_folder(tmp_path / "storage" / "artifacts")
    pod = Pod(tmp_path, request, tmp_path / "storage")
    with serving(env=pod.env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert "wrong-but-secret" not in server.log()
    assert (pod.failure().reason, pod.failure().transient) == ("StorageDenied", False)
    assert "check AWS_ACCESS_KEY_ID" in pod.failure().message


def test_live_at_once_and_ready_only_with_a_model(tmp_path: Path, s3: S3Server) -> None:
    root = f"s3://{s3.bucket()}/uid"
    silent = socket.create_server(("127.0.0.1", 0))  # a store that never answers
    pod = Pod.of(GOOD, tmp_path)
    request = pod.request.model_copy(update={"artifacts_uri": root, "manifest_uri": f"{root}/m"})
    config = replace(s3.config, endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}")
    S3Server(config).secret_folder(tmp_path / "storage" / "artifacts")
    with (
        silent,
        serving(env=Pod(tmp_path, request, tmp_path / "storage").env, wait=False) as server,
    ):
        wait_listening(server)
        assert server.get("/v2/health/live")[0] == 200
        while "starting" in str(server.get("/v2/models/m")[1]):  # the thread that downloads
            time.sleep(0.01)
        for path in ("/v2/health/ready", "/v2/models/m/ready", "/v1/models/m"):
            status, body, _ = server.get(path)
            assert (status, body["ready"]) == (503, False)
        for status, body, headers in (server.infer([1.0, 2.0]), server.get("/v2/models/m")):
            assert (status, "model 'm' is not ready: download" in body["error"]) == (503, True)
            assert headers["connection" if "connection" in headers else "content-type"]
        assert server.infer([1.0, 2.0])[2]["retry-after"] == "1"
        assert server.metric(ServerMetric.REQUESTS, code="503", outcome="server_error") == 2
        assert server.terminate() == 0  # also in the middle of a download


@pytest.mark.parametrize("mounted", [True, False])
def test_a_fresh_start_without_its_secret_says_what_is_missing_and_asks_nobody(
    tmp_path: Path, mounted: bool
) -> None:
    """Without credentials a client of S3 would ask AWS itself, whatever the store is."""
    request = Pod.of(GOOD, tmp_path).request.model_copy(
        update={"artifacts_uri": "s3://bucket/uid", "manifest_uri": "s3://bucket/uid/manifest.json"}
    )
    if mounted:
        (tmp_path / "storage" / "artifacts").mkdir(parents=True)
    pod = Pod(tmp_path, request, tmp_path / "storage")
    with serving(env=pod.env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert "amazonaws" not in server.log()
    assert (pod.failure().reason, pod.failure().transient) == ("StorageDenied", False)
    assert "the artifacts storage's Secret does not exist" in pod.failure().message
    assert "create it in this namespace" in pod.failure().message
