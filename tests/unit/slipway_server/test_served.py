"""What the operator and the optimizer write with pydantic, a server reads without."""

import json
from typing import Any

import pytest
from annotated_types import Ge, Le
from pydantic import ValidationError

from slipway.api.v1alpha1 import predictor
from slipway.artifacts.manifest import ArtifactManifest, ExecutionProvider, Tensor
from slipway.errors import Invalid
from slipway.tasks import ServingRequest
from slipway_server import served
from slipway_server.record import Record
from slipway_server.served import ServedFile, ServedManifest, ServedTensor
from tests.support.artifacts import Artifact

ARTIFACT = Artifact(model=b"model", inputs=(Tensor(name="x", datatype="FP32", shape=(-1, 2)),))
FLAGS = ("avx2", "avx512_vnni", "amx_int8")
REQUEST = {
    "namespace": "team",
    "name": "iris",
    "revision": "r1",
    "artifactsUri": "s3://bucket/uid",
    "manifestUri": "s3://bucket/uid/manifest.json",
    "manifestDigest": "sha256:" + "a" * 64,
}


def written(**changes: Any) -> ArtifactManifest:
    manifest = ARTIFACT.manifest()
    hardware = manifest.hardware.model_copy(update={"cpu_flags": FLAGS})
    return manifest.model_copy(
        update={"hardware": hardware, "requires_any_cpu_flag": FLAGS[1:], **changes}
    )


def document(manifest: ArtifactManifest | None = None) -> dict[str, Any]:
    document: dict[str, Any] = (manifest or written()).model_dump(mode="json", by_alias=True)
    return document


def read(document: dict[str, Any]) -> ServedManifest:
    return served.parse_manifest(json.dumps(document).encode())


def test_a_manifest_is_read_as_it_was_written() -> None:
    manifest = written(execution_provider=ExecutionProvider.CUDA)
    assert served.parse_manifest(manifest.model_dump_json(by_alias=True).encode()) == (
        ServedManifest(
            variant=manifest.variant,
            node_class=manifest.hardware.node_class,
            verdict=manifest.validation.verdict,
            message=manifest.validation.message,
            requires_any_cpu_flag=manifest.requires_any_cpu_flag,
            execution_provider=ExecutionProvider.CUDA,
            inputs=tuple(ServedTensor(t.name, t.datatype, t.shape) for t in manifest.inputs),
            outputs=tuple(ServedTensor(t.name, t.datatype, t.shape) for t in manifest.outputs),
            files=tuple(ServedFile(f.name, f.role, f.digest, f.size_bytes) for f in manifest.files),
        )
    )
    assert manifest.hardware.node_class == "x86_64+vnni+amx"


def test_a_manifest_of_before_there_were_providers_is_the_cpu_s() -> None:
    old = document()
    del old["executionProvider"]
    assert read(old).execution_provider is ExecutionProvider.CPU


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schemaVersion", 2),
        ("schemaVersion", "1"),
        ("variant", None),
        ("inputs", {}),
        ("inputs", [1]),
        ("files", [{"name": "../../etc/passwd"}]),
        ("requiresAnyCpuFlag", [1]),
        ("executionProvider", "TPU"),
        ("hardware", []),
        ("validation", {"verdict": "Great", "message": ""}),
    ],
)
def test_a_manifest_that_is_wrong_is_refused_by_both(field: str, value: object) -> None:
    wrong = document() | {field: value}
    with pytest.raises(Invalid, match=rf"^{field}"):
        read(wrong)
    with pytest.raises(ValidationError):
        ArtifactManifest.model_validate_json(json.dumps(wrong))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "../passwd"),
        ("name", "a\n"),
        ("name", ".hidden"),
        ("name", ""),
        ("role", "virus"),
        ("digest", "sha256:" + "A" * 64),
        ("digest", "sha256:" + "a" * 64 + "\n"),
        ("digest", "md5:1"),
        ("sizeBytes", -1),
        ("sizeBytes", "1"),
        ("sizeBytes", True),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_the_server(field: str, value: object) -> None:
    wrong = document()
    wrong["files"][0][field] = value
    with pytest.raises(Invalid, match=r"^files"):
        read(wrong)


@pytest.mark.parametrize("data", [b"", b"[]", b"nonsense", b"\xff", b"[" * 100_000, b"null"])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid, match="the document"):
        served.parse_manifest(data)


def request(**changes: Any) -> served.PodRequest:
    return served.parse_request(json.dumps(REQUEST | changes).encode())


def test_a_request_is_read_as_it_was_written() -> None:
    whole = ServingRequest.model_validate(
        REQUEST
        | {
            "session": {"intraOpNumThreads": 3},
            "concurrency": {"maxQueued": 5, "timeoutSeconds": 6, "maxConnectionAgeSeconds": 7},
            "warmup": {"iterations": 8, "goldenSamples": 9},
        }
    )
    for text in (whole.model_dump_json(by_alias=True), whole.model_dump_json(exclude_unset=True)):
        found = served.parse_request(text.encode())
        assert found.threads == whole.session.intra_op_num_threads
        assert (found.name, found.revision) == (whole.name, whole.revision)
        assert found.artifacts_uri == whole.artifacts_uri
        assert found.manifest_uri == whole.manifest_uri
        assert found.manifest_digest == whole.manifest_digest
        assert found.concurrency == served.Concurrency(5, 6, 7)
        assert found.warmup == served.Warmup(8, 9)


def test_what_a_request_leaves_out_is_what_the_api_says() -> None:
    found, asked = request(), ServingRequest.model_validate(REQUEST)
    assert served.parse_request(asked.model_dump_json(by_alias=True).encode()) == found
    assert found.threads is asked.session.intra_op_num_threads is None
    api = asked.concurrency
    assert found.concurrency == served.Concurrency(
        api.max_queued, api.timeout_seconds, api.max_connection_age_seconds
    )
    assert found.concurrency == served.Concurrency()
    assert found.warmup == served.Warmup(asked.warmup.iterations, asked.warmup.golden_samples)
    assert found.warmup == served.Warmup()


def test_every_field_of_a_request_is_known_to_the_server() -> None:
    aliases = {field.alias for field in ServingRequest.model_fields.values()}
    assert aliases == served._REQUEST
    with pytest.raises(Invalid, match="priority: is not a field of this release"):
        request(priority=1)


LIMITS = [
    (room, model, field.alias, bound)
    for room, model in (
        ("session", predictor.Session),
        ("concurrency", predictor.Concurrency),
        ("warmup", predictor.Warmup),
    )
    for field in model.model_fields.values()
    for bound in field.metadata
]


@pytest.mark.parametrize(("room", "model", "name", "bound"), LIMITS)
def test_settings_have_the_bounds_of_the_api(
    room: str, model: type[predictor.Session], name: str, bound: Ge | Le
) -> None:
    del model
    limit, beyond = (bound.ge, -1) if isinstance(bound, Ge) else (bound.le, 1)
    assert isinstance(limit, int)
    request(**{room: {name: limit}})
    with pytest.raises(Invalid, match=rf"^{room}\.{name}: "):
        request(**{room: {name: limit + beyond}})


def test_every_setting_of_the_api_has_bounds_that_are_tried() -> None:
    tried = {(room, name) for room, _, name, _ in LIMITS}
    fields = {
        "session": predictor.Session.model_fields,
        "concurrency": predictor.Concurrency.model_fields,
        "warmup": predictor.Warmup.model_fields,
    }
    assert tried == {
        (room, field.alias) for room, found in fields.items() for field in found.values()
    }


def test_a_record_says_where_it_is_wrong() -> None:
    with pytest.raises(Invalid, match=r"^a\.1: expected an object$"):
        Record({"a": [{}, 1]}).records("a")
    with pytest.raises(Invalid, match=r"^a\.0\.b: Field required$"):
        Record({"a": [{}]}).records("a")[0].text("b")
