"""A real S3 server for tests: versitygw on a free loopback port over a temporary folder.

``SLIPWAY_TEST_S3_ENDPOINT`` (with the usual ``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``)
names another one instead. Else versitygw is built first by the command of ``tests.cluster``.

    def test_something(s3: S3Server) -> None:
        bucket = s3.bucket()                     # a new, empty one
        store = open_store(f"s3://{bucket}/prefix", s3.config)

To use it: ``from tests.support.s3 import s3`` beside the test (or in a ``conftest.py``).
"""

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slipway.artifacts.credentials import StorageConfig
from slipway.contract import StorageKey

REPOSITORY = Path(__file__).resolve().parents[2]
_ACCESS_KEY, _SECRET_KEY = "slipway-test", "slipway-test-secret"


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server and how to log in to it."""

    config: StorageConfig

    def bucket(self) -> str:
        """Make a new bucket; returns its name."""
        name = f"test-{secrets.token_hex(6)}"
        _client(self.config).create_bucket(Bucket=name)
        return name

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object."""
        _client(self.config).put_object(Bucket=bucket, Key=key, Body=data)

    def secret_folder(self, folder: Path) -> Path:
        """Write ``config`` as a mounted storage Secret would look."""
        folder.mkdir(parents=True, exist_ok=True)
        values = {
            StorageKey.ENDPOINT: self.config.endpoint,
            StorageKey.REGION: self.config.region,
            StorageKey.ACCESS_KEY_ID: self.config.access_key_id,
            StorageKey.SECRET_ACCESS_KEY: self.config.secret_access_key,
        }
        for key, value in values.items():
            (folder / key).write_text(value)
        return folder


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """One server for the whole run."""
    endpoint = os.environ.get("SLIPWAY_TEST_S3_ENDPOINT")
    if endpoint:
        yield S3Server(
            StorageConfig(
                endpoint=endpoint,
                region=os.environ.get("AWS_REGION", "us-east-1"),
                access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
                secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
            )
        )
        return
    with running_s3() as server:
        yield server


@contextlib.contextmanager
def running_s3(port: int | None = None) -> Iterator[S3Server]:
    """A server of one's own, for tests that take it down."""
    with tempfile.TemporaryDirectory(prefix="slipway-s3-") as folder, _log(folder) as log:
        root, meta = Path(folder, "data"), Path(folder, "meta")
        root.mkdir()
        meta.mkdir()
        port = port or free_port()
        process = subprocess.Popen(
            [
                str(program()),
                "--port",
                f"127.0.0.1:{port}",
                "posix",
                "--sidecar",
                str(meta),
                str(root),
            ],
            env={"ROOT_ACCESS_KEY": _ACCESS_KEY, "ROOT_SECRET_KEY": _SECRET_KEY, "HOME": folder},
            stdout=log,
            stderr=log,
        )
        endpoint = f"http://127.0.0.1:{port}"
        try:
            _wait(process, endpoint, Path(folder, "log"))
            yield S3Server(
                StorageConfig(
                    endpoint=endpoint, access_key_id=_ACCESS_KEY, secret_access_key=_SECRET_KEY
                )
            )
        finally:
            process.terminate()
            process.wait(timeout=60)


def program() -> Path:
    """Where versitygw lies; it is built when it is not there."""
    lines = subprocess.run(
        [sys.executable, "-m", "tests.cluster", "build", "s3", "--print"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return Path(lines[-1])


def free_port() -> int:
    """A loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _log(folder: str) -> Iterator[int]:
    handle = os.open(Path(folder, "log"), os.O_WRONLY | os.O_CREAT)
    try:
        yield handle
    finally:
        os.close(handle)


def _wait(process: "subprocess.Popen[bytes]", endpoint: str, log: Path) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            raise RuntimeError(f"versitygw ended: {log.read_text()[-800:]}")
        try:
            urllib.request.urlopen(endpoint, timeout=1).close()
        except urllib.error.HTTPError:
            return  # it answers: 403 without a signature
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"versitygw does not answer at {endpoint}")


def _client(config: StorageConfig):  # type: ignore[no-untyped-def] # boto3 ships no types
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=config.endpoint,
        region_name=config.region,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
        config=Config(s3={"addressing_style": "path"}, proxies={}),
    )
