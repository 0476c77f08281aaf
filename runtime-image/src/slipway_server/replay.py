"""Send stored feeds to two revisions, one at a time, and compare what they answer."""

import http.client
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from pydantic import ValidationError

from slipway.artifacts.words import FileRole
from slipway.contract import REPLAY_PATH, Env, PodPath
from slipway.errors import Invalid, Transient
from slipway.tasks import ReplayReport, ReplayRequest
from slipway_server import npz
from slipway_server.agreement import Tally
from slipway_server.golden import samples_of
from slipway_server.loading import fetch, with_retries
from slipway_server.protocol import v2_client
from slipway_server.protocol.tensors import DTYPES, Array, TensorSpec
from slipway_server.served import ServedTensor
from slipway_server.settings import StoreSource, artifact_storage, read_request

_LOG = logging.getLogger("slipway_server.replay")
_SECONDS: Final = 30.0
_TRIES: Final = 3
_PAUSE_SECONDS: Final = 0.5
_SILENT_SAMPLES: Final = 5  # a canary that is silent so often in a row is down


def run(env: Mapping[str, str]) -> ReplayReport:
    """Replay what the request file asks for.

    Raises:
        Invalid: the artifact has no usable feeds.
        Transient: the store or the stable revision does not answer.
    """
    request = _request(env)
    source = StoreSource(
        artifacts_uri=request.artifacts_uri,
        manifest_uri=request.manifest_uri,
        digest=request.manifest_digest,
        storage=artifact_storage(env),
        work=Path(env.get(Env.WORK_DIR, PodPath.WORK)),
    )
    artifact = with_retries(
        lambda: fetch(source.address(), source.work, frozenset((FileRole.FEEDS,))),
        clock=time.monotonic,
        sleep=time.sleep,
        note=lambda error, wait: _LOG.warning("%s; next try in %.1f s", error, wait),
    )
    path, manifest = artifact.path(FileRole.FEEDS), artifact.manifest
    if path is None or manifest is None:
        raise Invalid("the artifact has no feeds to replay: it was optimised without any")
    inputs = tuple(_spec(tensor) for tensor in manifest.inputs)
    samples = samples_of(npz.load(path), inputs, (), limit=request.samples)
    if not samples:
        raise Invalid("the artifact's feeds are empty")
    feeds = [sample.feeds for sample in samples]
    with_model = REPLAY_PATH.format(model=quote(request.name))
    stable = Client(request.stable_url, with_model)
    canary = Client(request.canary_url, with_model)
    return compare(stable, canary, inputs, feeds)


def _request(env: Mapping[str, str]) -> ReplayRequest:
    try:
        return ReplayRequest.model_validate_json(read_request(env))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Invalid(
            f"the request file is not a ReplayRequest: {where}: {first['msg']}"
        ) from error


def compare(
    stable: "Client",
    canary: "Client",
    inputs: tuple[TensorSpec, ...],
    feeds: list[dict[str, Array]],
) -> ReplayReport:
    """Ask both for every feed.

    Raises:
        Transient: the stable revision does not answer.
    """
    tally, silent, note = Tally(), 0, ""
    for sample in feeds:
        body, length = v2_client.encode_request(inputs, sample)
        expected = stable.infer(body, length, tally.stable_seconds)
        try:
            found = canary.infer(body, length, tally.canary_seconds)
            silent = 0
        except Transient as error:
            found, silent, note = None, silent + 1, str(error)
        tally.add(expected, found)
        if silent >= _SILENT_SAMPLES:
            break
    return tally.report(note if silent else "")


class Client:
    """One revision, over one kept connection."""

    def __init__(self, url: str, path: str) -> None:
        """Prepare; nothing is opened yet.

        Raises:
            Invalid: not an ``http://`` URL.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise Invalid(f"'{url[:200]}' is no address of a revision: expected http://host:port")
        self._url = url
        self._path = parts.path.rstrip("/") + path
        self._connection = http.client.HTTPConnection(
            parts.hostname, parts.port or 80, timeout=_SECONDS
        )

    def infer(self, body: bytes, length: int, seconds: list[float]) -> dict[str, Array] | None:
        """Outputs by name, or ``None`` for an answer that is an error.

        Args:
            body: a request.
            length: of its JSON part.
            seconds: gets the time of an answer that is no error.

        Raises:
            Transient: nobody answers.
        """
        for left in reversed(range(_TRIES)):
            start = time.perf_counter()
            try:
                answer = self._send(body, length)
            except (OSError, http.client.HTTPException) as error:
                # Also how a kept connection ends that the server closed meanwhile.
                self._connection.close()
                if not left:
                    kind = type(error).__name__
                    raise Transient(f"{self._url} does not answer ({kind})") from error
                time.sleep(_PAUSE_SECONDS if left < _TRIES - 1 else 0)
                continue
            if answer is not None:
                seconds.append(time.perf_counter() - start)
            return answer
        return None

    def _send(self, body: bytes, length: int) -> dict[str, Array] | None:
        headers = {
            "Content-Type": "application/octet-stream",
            v2_client.LENGTH_HEADER: str(length),
        }
        self._connection.request("POST", self._path, body, headers)
        response = self._connection.getresponse()
        data = response.read()
        if not 200 <= response.status < 300:
            text = data[:200].decode("utf-8", "replace")
            _LOG.warning("%s answered %d: %s", self._url, response.status, text)
            return None
        given = response.headers.get(v2_client.LENGTH_HEADER)
        try:
            return v2_client.decode_response(data, int(given) if given else None)
        except (Invalid, ValueError) as error:
            _LOG.warning("%s answered something else: %s", self._url, error)
            return None


def _spec(tensor: ServedTensor) -> TensorSpec:
    if tensor.datatype not in DTYPES:
        raise Invalid(f"the manifest gives '{tensor.name}' the unknown datatype {tensor.datatype}")
    return TensorSpec(tensor.name, tensor.datatype, tensor.shape)
