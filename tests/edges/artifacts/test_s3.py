"""The writing store against a real S3 server."""

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.artifacts import layout
from slipway.artifacts.credentials import StorageConfig
from slipway.artifacts.s3 import S3Store
from slipway.errors import Invalid, NotFound, Transient
from tests.support.s3 import S3Server, free_port, s3

__all__ = ["s3"]
BLOB = layout.blob_key(layout.digest_of(b"content"))


@pytest.fixture(scope="module")
def bucket(s3: S3Server) -> str:
    return s3.bucket()


@pytest.fixture
def store(s3: S3Server, bucket: str) -> S3Store:
    return S3Store(f"s3://{bucket}/team%20a", s3.config)


@pytest.fixture
def content(tmp_path: Path) -> Path:
    path = tmp_path / "content"
    path.write_bytes(b"content")
    return path


def test_what_is_uploaded_comes_back(store: S3Store, content: Path, tmp_path: Path) -> None:
    store.upload(content, "folder/key")
    assert store.read("folder/key", limit=7) == b"content"
    store.download("folder/key", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"content"


def test_a_file_in_several_parts_comes_back(store: S3Store, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(65 << 20)
        file.write(b"the end")
    store.upload(path, "large")
    store.download("large", tmp_path / "copy")
    assert layout.digest_of_file(tmp_path / "copy") == layout.digest_of_file(path)


def test_a_blob_that_is_there_is_not_sent_again_but_other_keys_are(
    store: S3Store, content: Path
) -> None:
    other = content.with_name("other")
    other.write_bytes(b"CONTENT")  # of equal size: only a blob's key vouches for its bytes
    for key in (BLOB, "report.md"):
        store.upload(content, key)
        store.upload(other, key)
    assert store.read(BLOB, limit=100) == b"content"
    assert store.read("report.md", limit=100) == b"CONTENT"


def test_a_blob_that_was_cut_off_is_sent_again(s3: S3Server, bucket: str, content: Path) -> None:
    s3.put(bucket, f"cut/{BLOB}", b"cont")
    store = S3Store(f"s3://{bucket}/cut", s3.config)
    store.upload(content, BLOB)
    assert store.read(BLOB, limit=100) == b"content"


def test_of_racing_commits_one_wins_and_stays(store: S3Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda n: store.commit("manifest", b"%d" % n), range(8)))
    assert won.count(True) == 1
    assert store.read("manifest", limit=9) == b"%d" % won.index(True)
    assert not store.commit("manifest", b"late")


@pytest.mark.parametrize("call", ["read", "download"])
def test_what_is_absent_is_not_found(store: S3Store, tmp_path: Path, call: str) -> None:
    calls: dict[str, Callable[[], object]] = {
        "read": lambda: store.read("absent", limit=9),
        "download": lambda: store.download("absent", tmp_path / "absent"),
    }
    with pytest.raises(NotFound, match="team a/absent does not exist"):
        calls[call]()


def test_more_than_the_limit_is_refused(store: S3Store, content: Path) -> None:
    store.upload(content, "seven")
    with pytest.raises(Invalid, match="larger than 6 bytes"):
        store.read("seven", limit=6)


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a/../../b", ".."])
def test_a_key_does_not_leave_the_store(store: S3Store, key: str) -> None:
    with pytest.raises(Invalid, match="leaves the store"):
        store.read(key, limit=9)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"secret_access_key": "wrong"}, id="signature"),
        pytest.param({"access_key_id": "nobody"}, id="key"),
        pytest.param({"access_key_id": "", "secret_access_key": ""}, id="anonymous"),
    ],
)
def test_refused_credentials_name_the_keys_of_the_secret(
    s3: S3Server, bucket: str, content: Path, change: dict[str, str]
) -> None:
    store = S3Store(f"s3://{bucket}", replace(s3.config, **change))  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"):
        store.commit("key", b"data")
    with pytest.raises(Invalid, match="check AWS_ACCESS_KEY_ID"):
        store.upload(content, "key")


def test_a_missing_bucket_is_said_and_not_taken_for_a_missing_key(s3: S3Server) -> None:
    with pytest.raises(Invalid, match="bucket no-such-bucket does not exist") as caught:
        S3Store("s3://no-such-bucket", s3.config).read("key", limit=9)
    assert not isinstance(caught.value, NotFound)


def test_half_a_login_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(Invalid, match="only one of AWS_ACCESS_KEY_ID"):
        S3Store("s3://b", StorageConfig(access_key_id="a"))


def test_a_store_that_is_down_is_transient(content: Path) -> None:
    config = StorageConfig(f"http://127.0.0.1:{free_port()}", "us-east-1", "a", "b")
    with pytest.raises(Transient, match="did not answer"):
        S3Store("s3://bucket", config).upload(content, "key")


def test_a_store_that_answers_with_errors_is_transient() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        stop = threading.Event()
        thread = threading.Thread(target=_answer_503, args=(listener, stop))
        thread.start()
        try:
            config = StorageConfig(
                f"http://127.0.0.1:{listener.getsockname()[1]}", "us-east-1", "a", "b"
            )
            with pytest.raises(Transient, match="the store answered 503"):
                S3Store("s3://bucket", config).commit("key", b"data")
        finally:
            stop.set()
            thread.join()


def _answer_503(listener: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        with connection:
            connection.recv(65_536)
            connection.sendall(
                b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )


def test_the_environment_names_no_endpoint_and_no_proxy(
    s3: S3Server, bucket: str, content: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = f"http://127.0.0.1:{free_port()}"
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, elsewhere)
    store = S3Store(f"s3://{bucket}", s3.config)
    store.upload(content, "direct")
    assert store.read("direct", limit=9) == b"content"
