"""The fast reader against a real S3 server."""

import hashlib
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.artifacts.credentials import StorageConfig
from slipway.artifacts.s3_reader import S3Reader
from slipway.artifacts.store import open_store
from slipway.errors import Invalid, NotFound, Transient
from tests.support.s3 import S3Server, free_port, s3

__all__ = ["s3"]


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    name = s3.bucket()
    s3.put(name, "team a/small.txt", b"twelve bytes")
    s3.put(name, "empty", b"")
    return name


def test_reads_a_key_below_its_root(s3: S3Server, bucket: str) -> None:
    assert (
        S3Reader(f"s3://{bucket}", s3.config).read("team a/small.txt", limit=100) == b"twelve bytes"
    )
    assert (
        S3Reader(f"s3://{bucket}/team%20a/", s3.config).read("small.txt", limit=12)
        == b"twelve bytes"
    )


def test_a_root_with_odd_letters_is_one_place_for_both_clients(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    root = f"s3://{bucket}/team#1/what?/a b"
    (tmp_path / "file").write_bytes(b"content")
    open_store(root, s3.config).upload(tmp_path / "file", "blobs/sha256/x")
    assert S3Reader(root, s3.config).read("blobs/sha256/x", limit=100) == b"content"
    whole = S3Reader(f"s3://{bucket}", s3.config)
    assert whole.read("team#1/what?/a b/blobs/sha256/x", limit=100) == b"content"


def test_reads_and_downloads_an_empty_object(s3: S3Server, bucket: str, tmp_path: Path) -> None:
    reader = S3Reader(f"s3://{bucket}", s3.config)
    reader.download("empty", tmp_path / "empty")
    assert (tmp_path / "empty").read_bytes() == b""
    assert reader.read("empty", limit=10) == b""


def test_lists_a_folder_with_paths_below_it(s3: S3Server) -> None:
    name = s3.bucket()
    for key in ("m/saved_model.pb", "m/variables/a #1", "mm/other", "m.onnx"):
        s3.put(name, key, b"1")
    reader = S3Reader(f"s3://{name}", s3.config)
    assert reader.list("m/", limit=9) == ("saved_model.pb", "variables/a #1")
    with pytest.raises(NotFound):
        reader.list("absent/", limit=9)
    with pytest.raises(Invalid, match="more than 1 files"):
        reader.list("m/", limit=1)


def test_downloads_a_large_object_in_parallel_ranges(
    s3: S3Server, bucket: str, tmp_path: Path
) -> None:
    data = hashlib.shake_128(b"large").digest((33 << 20) + 17)
    s3.put(bucket, "large", data)
    S3Reader(f"s3://{bucket}", s3.config).download("large", tmp_path / "large")
    assert (
        hashlib.sha256((tmp_path / "large").read_bytes()).digest() == hashlib.sha256(data).digest()
    )


def test_refuses_an_object_above_the_limit(s3: S3Server, bucket: str) -> None:
    with pytest.raises(Invalid, match="has 12 bytes, more than 11"):
        S3Reader(f"s3://{bucket}", s3.config).read("team a/small.txt", limit=11)


@pytest.mark.parametrize("root", ["s3://{}", "s3://there-is-no-such-bucket-here"])
def test_says_what_does_not_exist(s3: S3Server, bucket: str, root: str, tmp_path: Path) -> None:
    reader = S3Reader(root.format(bucket), s3.config)
    with pytest.raises(NotFound, match="does not exist"):
        reader.read("absent", limit=1)
    with pytest.raises(NotFound, match="does not exist"):
        reader.download("absent", tmp_path / "absent")


def test_wrong_keys_are_the_users_to_mend(s3: S3Server, bucket: str) -> None:
    for config in (
        replace(s3.config, secret_access_key="wrong"),
        replace(s3.config, access_key_id="nobody"),
        replace(s3.config, access_key_id="", secret_access_key=""),
    ):
        with pytest.raises(
            Invalid, match="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
        ) as caught:
            S3Reader(f"s3://{bucket}", config).read("team a/small.txt", limit=100)
        assert not isinstance(caught.value, NotFound)
        assert "wrong" not in str(caught.value)


def test_half_a_pair_of_keys_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(Invalid, match="only one of AWS_ACCESS_KEY_ID"):
        S3Reader("s3://bucket", StorageConfig(access_key_id="a"))


def test_a_store_that_is_down_is_transient() -> None:
    config = StorageConfig(
        endpoint=f"http://127.0.0.1:{free_port()}", access_key_id="a", secret_access_key="b"
    )
    with pytest.raises(Transient, match="cannot be read now"):
        S3Reader("s3://bucket", config).read("key", limit=1)


def test_no_variable_of_the_environment_leads_elsewhere(
    s3: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _Trap() as (port, visits):
        for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "HTTP_PROXY",
                     "http_proxy", "ALL_PROXY"):  # fmt: skip
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
            monkeypatch.setenv(name, "of-somebody-else")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        reader = S3Reader(f"s3://{bucket}", s3.config)
        assert reader.read("team a/small.txt", limit=100) == b"twelve bytes"
    assert visits == []


class _Trap:
    """A listener that notes who comes."""

    def __enter__(self) -> tuple[int, list[bytes]]:
        self._visits: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._run, daemon=True).start()
        return self._socket.getsockname()[1], self._visits

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _run(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            self._visits.append(peer.recv(200))
            peer.close()
