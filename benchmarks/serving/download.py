"""The server's download against boto3's defaults: ``python -m benchmarks.serving.download``.

From an S3 server on this machine (versitygw, plain HTTP), into memory-backed files, alternating,
each in a process of its own, so that CPU time and imports are its own. Prints MB/s and CPU seconds
per GB, and the ratios.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from slipway.artifacts.credentials import StorageConfig
from tests.support.s3 import S3Server, running_s3

KEY: Final = "model.onnx"
CLIENTS: Final = ("boto3", "slipway")
FLOORS: Final = {"MB/s": (1.7, 2.3), "CPU": (0.55, 0.4)}


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=5, help="the median counts")
    parser.add_argument("--client", choices=CLIENTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        print(json.dumps(_download(options.client, json.load(sys.stdin))))
        return
    with running_s3() as server:
        bucket = server.bucket()
        server.put(bucket, KEY, os.urandom(1 << 20) * options.megabytes)
        found: dict[str, list[dict[str, float]]] = {client: [] for client in CLIENTS}
        for _ in range(options.rounds):
            for client in CLIENTS:
                found[client].append(_child(client, server, bucket))
    size = options.megabytes * (1 << 20)
    _report(size, found)


def _report(size: int, found: dict[str, list[dict[str, float]]]) -> None:
    rates, costs = {}, {}
    for client, runs in found.items():
        rates[client] = statistics.median(size / run["seconds"] / 1e6 for run in runs)
        costs[client] = statistics.median(run["cpu"] / size * 1e9 for run in runs)
        print(f"{client:8} {rates[client]:7.0f} MB/s  {costs[client]:5.2f} CPU s/GB")
    for what, value in (
        ("MB/s", rates["slipway"] / rates["boto3"]),
        ("CPU", costs["slipway"] / costs["boto3"]),
    ):
        floor, reach = FLOORS[what]
        print(f"{what} vs boto3: {value:.2f}x  (floor {floor}, reach {reach})")


def _child(client: str, server: S3Server, bucket: str) -> dict[str, float]:
    config = server.config
    given = {
        "bucket": bucket,
        "endpoint": config.endpoint,
        "access_key_id": config.access_key_id,
        "secret_access_key": config.secret_access_key,
    }
    command = [sys.executable, "-m", "benchmarks.serving.download", "--client", client]
    ended = subprocess.run(
        command, input=json.dumps(given), check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(ended.stdout)
    return result


def _download(client: str, given: dict[str, Any]) -> dict[str, float]:
    bucket = given.pop("bucket")
    run = _by_boto3 if client == "boto3" else _by_slipway
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        began = time.perf_counter()
        run(bucket, StorageConfig(**given), Path(folder) / KEY)
        seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime}


def _by_boto3(bucket: str, config: StorageConfig, path: Path) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=config.endpoint,
        region_name=config.region,
        aws_access_key_id=config.access_key_id,
        aws_secret_access_key=config.secret_access_key,
    )
    client.download_file(bucket, KEY, str(path))


def _by_slipway(bucket: str, config: StorageConfig, path: Path) -> None:
    from slipway.artifacts.s3_reader import S3Reader

    S3Reader(f"s3://{bucket}", config).download(KEY, path)


if __name__ == "__main__":
    main()
