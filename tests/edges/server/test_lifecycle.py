"""A server's life as a pod: from a store to ready, overload, drain, and every way not to start."""

import asyncio
import contextlib
import http.client
import signal
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from slipway.api.v1alpha1.predictor import Concurrency, Session, Warmup
from slipway.artifacts.folder import FolderStore
from slipway.artifacts.layout import digest_of
from slipway.artifacts.store import open_store
from slipway.contract import ServerMetric
from slipway.tasks import ServingRequest, StepFailure, parse_report
from slipway_server.protocol.pb import open_inference_grpc_pb2 as pb
from tests.support import onnx_models
from tests.support.artifacts import Artifact
from tests.support.s3 import S3Server, free_port, running_s3, s3
from tests.support.server import Server, pod_env, serving, wait_listening

__all__ = ["s3"]

ROWS = np.array([[0.5, -1.25], [3.0, 4.0]], np.float32)
GOOD = Artifact(model=onnx_models.double(), golden={"input:x": ROWS, "output:y": ROWS * 2})
SLOW = Artifact(model=onnx_models.slow())


@dataclass(slots=True)
class Pod:
    """A request to serve an artifact from a folder store, and the folder of its pod."""

    folder: Path
    request: ServingRequest
    storage: Path | None = None

    @classmethod
    def of(cls, artifact: Artifact, folder: Path, **options: Any) -> "Pod":
        """Publish the artifact and ask for it."""
        root = f"file://{folder}/store"
        key, digest = artifact.publish(FolderStore(folder / "store"), folder)
        request = ServingRequest(
            namespace="team",
            name="m",
            revision="m-00001",
            artifacts_uri=root,
            manifest_uri=f"{root}/{key}",
            manifest_digest=digest,
            warmup=Warmup(iterations=1),
            **options,
        )
        return cls(folder, request)

    @property
    def env(self) -> dict[str, str]:
        """Of the process."""
        return pod_env(self.request, self.folder, storage=self.storage)

    def blobs(self) -> list[Path]:
        """The blobs in the store."""
        return list((self.folder / "store" / "blobs" / "sha256").iterdir())

    def failure(self) -> StepFailure:
        """What the pod left as termination message."""
        report = parse_report((self.folder / "termination-log").read_text())
        assert isinstance(report, StepFailure)
        return report


def test_a_pod_serves_the_artifact_that_it_was_asked_for(tmp_path: Path) -> None:
    pod = Pod.of(GOOD, tmp_path, session=Session(intra_op_num_threads=1))
    with serving(env=pod.env) as server:
        status, body, headers = server.infer([1.0, 2.0])
        assert (status, body["outputs"][0]["data"]) == (200, [2, 4])
        assert headers["slipway-revision"] == "m-00001"
        assert headers["slipway-artifact"] == pod.request.manifest_digest
        phases = {
            phase: server.metric(ServerMetric.STARTUP, phase=phase)
            for phase in ("download", "load", "warmup", "golden", "batching", "total")
        }
        assert phases["total"] > phases["load"] > 0
        digest = pod.request.manifest_digest
        assert server.metric(ServerMetric.INFO, revision="m-00001", variant="fp32", digest=digest)
        for word in ("model=m", "revision=m-00001", digest, "threads=1", "golden=2", "load_ms="):
            assert word in server.log()
        assert server.terminate() == 0
    assert not (tmp_path / "termination-log").exists()


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


@pytest.mark.parametrize(
    ("harm", "reason", "text"),
    [
        (lambda pod: pod.blobs()[0].write_bytes(b"x"), "ArtifactInvalid", "but the manifest says"),
        (lambda pod: pod.blobs()[0].unlink(), "ArtifactNotFound", "does not exist"),
        (
            lambda pod: (pod.folder / "store/manifests" / ("1" * 64) / "manifest.json").unlink(),
            "ArtifactNotFound",
            "does not exist",
        ),
        (
            lambda pod: (pod.folder / "store/manifests" / ("1" * 64) / "manifest.json").write_text(
                "{}"
            ),
            "ArtifactInvalid",
            "somebody changed it in the store",
        ),
    ],
    ids=["changed blob", "missing blob", "missing manifest", "changed manifest"],
)
def test_a_broken_artifact_is_never_served(
    tmp_path: Path, harm: Callable[[Pod], object], reason: str, text: str
) -> None:
    pod = Pod.of(Artifact(model=onnx_models.double()), tmp_path)
    harm(pod)
    with serving(env=pod.env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
    failure = pod.failure()
    assert (failure.reason, failure.transient) == (reason, False)
    assert text in failure.message


@pytest.mark.parametrize(
    ("artifact", "reason", "text"),
    [
        (Artifact(model=b"no model"), "ModelNotLoadable", "cannot load it"),
        (
            Artifact(
                model=onnx_models.double(),
                golden={"input:x": ROWS, "output:y": np.array([[1.0, -2.5], [6, 9]], "f4")},
            ),
            "GoldenMismatch",
            "golden sample 1: output 'y' is not what was recorded: 8 instead of 9",
        ),
        (
            Artifact(model=onnx_models.double(), golden={"input:x": ROWS[:, :1]}),
            "ModelFailed",
            "the model refuses this input",
        ),
        (
            Artifact(model=onnx_models.double(), golden={"input:z": ROWS}),
            "ModelNotLoadable",
            "the samples lack the array 'input:x'",
        ),
    ],
    ids=["not a model", "another answer", "samples of another shape", "samples of another input"],
)
def test_a_model_that_does_not_prove_itself_is_never_ready(
    tmp_path: Path, artifact: Artifact, reason: str, text: str
) -> None:
    pod = Pod.of(artifact, tmp_path)
    with serving(env=pod.env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert "Traceback" not in server.log()
    assert (pod.failure().reason, text in pod.failure().message) == (reason, True), pod.failure()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for variable, text in (("HTTP", "HTTP port"), ("GRPC", "gRPC port")):
            pod = Pod.of(GOOD, tmp_path)
            env = pod.env | {f"SLIPWAY_{variable}_PORT": port}
            with serving(env=env, wait=False) as server:
                assert server.process.wait(timeout=60) == 65
            assert pod.failure().reason == "AddressInUse"
            assert f"{text} {port} cannot be opened" in pod.failure().message


def test_a_pod_without_a_request_says_so(tmp_path: Path) -> None:
    env = {"SLIPWAY_REQUEST_FILE": str(tmp_path / "absent"), "SLIPWAY_LOG_FORMAT": "json"}
    with serving(env=env, wait=False) as server:
        assert server.process.wait(timeout=60) == 65
        assert '"message": "SettingsInvalid: there is no request file' in server.log()


# ---- overload: the slow model turns its loop as often as its input says


def turns_of(server: Server, seconds: float) -> float:
    """How many turns of the loop take about so long on this machine."""
    start = time.perf_counter()
    assert server.infer([20_000.0, 0.0])[0] == 200
    return min(20_000 * seconds / (time.perf_counter() - start), 2**30)


def test_a_full_queue_answers_429_and_recovers(tmp_path: Path) -> None:
    pod = Pod.of(SLOW, tmp_path, concurrency=Concurrency(max_queued=2))
    with serving(env=pod.env) as server, ThreadPoolExecutor(12) as pool:
        turns = turns_of(server, 0.7)
        answers = list(pool.map(lambda _: server.infer([turns, 0.0]), range(12)))
        codes = sorted(status for status, _, _ in answers)
        assert codes.count(200) >= 3  # one ran, two waited
        assert codes.count(429) == 12 - codes.count(200) >= 5
        refused = next(answer for answer in answers if answer[0] == 429)
        assert "requests wait already" in refused[1]["error"]
        assert refused[2]["retry-after"] == "1"
        assert server.get("/v2/health/ready")[0] == 200
        assert server.infer([1.0, 0.0])[0] == 200
        counted = server.metric(ServerMetric.REQUESTS, code="429", outcome="server_error")
        assert counted == codes.count(429)
        assert server.metric(ServerMetric.INFLIGHT) == server.metric(ServerMetric.QUEUED) == 0


def test_a_deadline_is_answered_in_time_on_every_door(tmp_path: Path) -> None:
    pod = Pod.of(SLOW, tmp_path, concurrency=Concurrency(timeout_seconds=1))
    with serving(env=pod.env) as server:
        turns = turns_of(server, 20.0)
        start = time.perf_counter()
        status, body, _ = server.infer([turns, 0.0])
        assert (status, body) == (504, {"error": "the deadline passed before the model answered"})
        assert time.perf_counter() - start < 3.0
        request = pb.ModelInferRequest(model_name="m", raw_input_contents=[bytes(8)])
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc}") as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer"
            )
            with pytest.raises(grpc.RpcError) as caught:  # it waits for the slow one
                call(request.SerializeToString(), timeout=20)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


# ---- drain


def test_a_drain_finishes_what_runs_and_tells_everybody(tmp_path: Path) -> None:
    pod = Pod.of(SLOW, tmp_path)
    env = pod.env | {"SLIPWAY_DRAIN_SECONDS": "1"}
    with serving(env=env) as server, contextlib.ExitStack() as stack:
        turns = turns_of(server, 2.0)
        kept = http.client.HTTPConnection("127.0.0.1", server.http, timeout=30)
        stack.callback(kept.close)
        kept.request("GET", "/v2/health/ready")
        assert kept.getresponse().read()
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(server.infer, [turns, 0.0])
            while not server.metric(ServerMetric.INFLIGHT):
                time.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            while "draining" not in server.log():
                time.sleep(0.01)
            kept.request("GET", "/v2/health/ready")  # the port still answers, the kept one too
            answer = kept.getresponse()
            assert (answer.status, answer.headers["connection"]) == (503, "close")
            assert b"draining" in answer.read()
            assert running.result()[0] == 200
        assert server.process.wait(timeout=30) == 0
        assert "drained unanswered=0" in server.log()


def test_the_grace_period_is_kept_even_with_work_left(tmp_path: Path) -> None:
    pod = Pod.of(SLOW, tmp_path)
    with serving(env=pod.env | {"SLIPWAY_GRACE_SECONDS": "1"}) as server:
        turns = turns_of(server, 20.0)
        threading.Thread(target=_quietly, args=(server, turns), daemon=True).start()
        while not server.metric(ServerMetric.INFLIGHT):
            time.sleep(0.01)
        start = time.perf_counter()
        assert server.terminate() == 0
        assert time.perf_counter() - start < 5.0


def _quietly(server: Server, turns: float) -> None:
    try:
        server.infer([turns, 0.0])
    except (OSError, http.client.HTTPException):
        return


BODY = b'{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]}'
HEAD = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n" % len(BODY)


class Balancer:
    """Forwards connections as kube-proxy does: new ones to the target, old ones stay."""

    def __init__(self) -> None:
        self.target = 0
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self._servers.append(server)
        self.port = server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take no more."""
        for server in self._servers:
            server.close()
        await asyncio.gather(*self._tasks)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(_pipe(reader, forth), _pipe(back, writer))
        for end in (forth, writer):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()
        self._tasks.discard(task)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()


class Clients:
    """Clients behind balancers: HTTP kept or not, and gRPC. No client retries."""

    def __init__(self, http_port: int, grpc_port: int) -> None:
        self.answered = {"http": 0, "kept": 0, "grpc": 0}
        self.failures: list[str] = []
        self._stop = asyncio.Event()
        self._tasks = [
            *(asyncio.create_task(self._http(http_port, kept=bool(n % 2))) for n in range(6)),
            *(asyncio.create_task(self._grpc(grpc_port)) for _ in range(3)),
        ]

    async def stop(self) -> None:
        """End them."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _http(self, port: int, *, kept: bool) -> None:
        request = HEAD + (b"\r\n" if kept else b"Connection: close\r\n\r\n") + BODY
        while not self._stop.is_set():
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                goes_on = True
                while goes_on and not self._stop.is_set():
                    writer.write(request)
                    goes_on = await self._http_answer(reader, "kept" if kept else "http")
                    await asyncio.sleep(0.002)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failures.append(f"HTTP kept={kept}: {error!r}")
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _http_answer(self, reader: asyncio.StreamReader, kind: str) -> bool:
        """Whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r")[0]))
        if head.startswith(b"http/1.1 200"):
            self.answered[kind] += 1
        else:
            self.failures.append(head.decode())
        return b"connection: close" not in head

    async def _grpc(self, port: int) -> None:
        request = pb.ModelInferRequest(model_name="m", raw_input_contents=[bytes(8)])
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        message = request.SerializeToString()
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer"
            )
            while not self._stop.is_set():
                try:
                    await call(message, timeout=10)
                    self.answered["grpc"] += 1
                except grpc.aio.AioRpcError as error:
                    self.failures.append(f"gRPC: {error.code()} {error.details()}")


async def test_no_request_fails_while_servers_are_replaced_behind_a_balancer(
    tmp_path: Path,
) -> None:
    # Old connections end anyway; with the great age nothing but the drain ends one.
    for age, replacements in ((1, 2), (600, 1)):
        pod = Pod.of(GOOD, tmp_path, concurrency=Concurrency(max_connection_age_seconds=age))
        http_balancer, grpc_balancer = Balancer(), Balancer()
        await http_balancer.start()
        await grpc_balancer.start()
        process, http_balancer.target, grpc_balancer.target = await _replica(pod)
        clients = Clients(http_balancer.port, grpc_balancer.port)
        for _ in range(replacements):
            following, http_port, grpc_port = await _replica(pod)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)  # the balancer learns of it later than the server
            http_balancer.target, grpc_balancer.target = http_port, grpc_port
            assert await process.wait() == 0
            process = following
        await clients.stop()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
        await http_balancer.stop()
        await grpc_balancer.stop()
        assert clients.failures == []
        assert min(clients.answered.values()) > 50, clients.answered


async def _replica(pod: Pod) -> tuple[asyncio.subprocess.Process, int, int]:
    http_port, grpc_port = free_port(), free_port()
    env = pod.env | {
        "SLIPWAY_HTTP_PORT": str(http_port),
        "SLIPWAY_GRPC_PORT": str(grpc_port),
        "SLIPWAY_DRAIN_SECONDS": "0.5",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "slipway_server",
        env=env, cwd=pod.folder, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, _wait_ready, http_port)
    return process, http_port, grpc_port


def _wait_ready(port: int) -> None:
    url, end = f"http://127.0.0.1:{port}/v2/health/ready", time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server did not become ready")


def test_digests_of_the_log_and_the_manifest_agree(tmp_path: Path) -> None:
    with serving(GOOD.write(tmp_path)) as server:
        assert f"artifact={digest_of(GOOD.manifest_bytes())}" in server.log()
