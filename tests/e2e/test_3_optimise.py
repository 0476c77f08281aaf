"""Step 3: the Job, its candidates, what it leaves in the store, and the cache."""

import hashlib
import json

from tests.e2e.figures import tell
from tests.e2e.settings import Images
from tests.e2e.space import Space, condition
from tests.support.kubectl import Json


def optimizer_pod(space: Space, name: str) -> Json:
    labels = f"slipway.dev/model-deployment={name},app.kubernetes.io/component=optimizer"
    (pod,) = space.kubectl.list("pods", labels=labels)
    return pod


def folder_of(uri: str) -> str:
    return uri.rpartition("/")[0]


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def test_the_job_is_four_steps_of_which_two_hold_credentials(first: Space) -> None:
    spec = optimizer_pod(first, "first")["spec"]
    steps = [*spec["initContainers"], *spec["containers"]]
    assert [step["name"] for step in steps] == ["fetch", "build", "validate", "publish"]
    holding = [
        step["name"]
        for step in steps
        if any(mount["name"].startswith("storage-") for mount in step["volumeMounts"])
    ]
    assert holding == ["fetch", "publish"]
    assert spec["automountServiceAccountToken"] is False
    assert all("SECRET" not in json.dumps(step.get("env", [])) for step in steps)


def test_candidates_are_measured_and_one_is_picked(first: Space) -> None:
    stable = first.status("first")["stable"]
    candidates = {each["name"]: each for each in stable["validation"]["candidates"]}
    assert {"fp32", "int8-dynamic", "int8-static"} <= set(candidates)
    for each in candidates.values():
        assert float(each["score"]) > 0.8
        assert float(each["latencyP50Ms"]) > 0
        assert float(each["latencyP95Ms"]) >= float(each["latencyP50Ms"])
        assert each["sizeBytes"] > 0
    picked = candidates[stable["artifact"]["variant"]]
    assert picked["verdict"] == "Passed"
    assert float(picked["latencyRatio"]) <= 1.0
    assert stable["nodeClass"]


def test_digests_chain_from_the_store_to_the_status(first: Space) -> None:
    artifact = first.status("first")["stable"]["artifact"]
    manifest = first.store.read(artifact["uri"])
    assert sha256(manifest) == artifact["manifestDigest"]
    report = json.loads(
        optimizer_pod(first, "first")["status"]["containerStatuses"][0]["state"]["terminated"][
            "message"
        ]
    )
    assert report["artifact"]["manifestDigest"] == artifact["manifestDigest"]
    root = artifact["uri"].split("/manifests/")[0]
    blob = first.store.read(f"{root}/blobs/sha256/{artifact['digest'].removeprefix('sha256:')}")
    assert sha256(blob) == artifact["digest"]
    assert len(blob) == artifact["sizeBytes"]
    source = (first.files.folder / "v1.onnx").read_bytes()
    assert first.status("first")["stable"]["sourceDigest"] == sha256(source)


def test_the_manifest_is_written_last_with_reports_beside_it(first: Space) -> None:
    artifact = first.status("first")["stable"]["artifact"]
    prefix = folder_of(artifact["uri"]).removeprefix("s3://").split("/", 1)[1]
    written = first.store.keys(prefix.split("/manifests/")[0])
    beside = {key.rpartition("/")[2] for key in written if key.startswith(prefix)}
    assert {"manifest.json", "report.json", "report.md"} <= beside
    committed = written[f"{prefix}/manifest.json"]
    blob = next(key for key in written if key.endswith(artifact["digest"][7:]))
    assert all(written[key] <= committed for key in (blob, f"{prefix}/report.json"))
    text = first.store.read(f"{folder_of(artifact['uri'])}/report.md").decode()
    assert artifact["variant"] in text


def test_the_same_inputs_again_are_a_cache_hit(first: Space) -> None:
    before = first.store.keys()
    first.apply(first.magika("again"))
    again = first.healthy("again")
    assert again["status"]["stable"]["validation"]["cacheHit"] is True
    assert condition(again, "Optimized")["reason"] == "CacheHit"
    same = first.status("first")["stable"]["artifact"]
    assert again["status"]["stable"]["artifact"] == same
    assert first.store.keys() == before
    seconds = sum(phase.get("seconds", 0) for phase in again["status"]["phases"])
    tell(f"the same inputs again: {seconds} s until Healthy, by a cache hit")


def test_scikit_learn_is_converted_and_checked_against_its_own_predictions(
    space: Space, images: Images
) -> None:
    space.apply(space.digits("digits"))
    status = space.healthy("digits", seconds=180)["status"]
    assert "accuracy 0.9" in status["stable"]["validation"]["message"]
    uri = status["stable"]["validation"]["reportUri"]
    report = json.loads(space.store.read(uri))
    assert "conversion" in json.dumps(report).lower()
    pod = optimizer_pod(space, "digits")
    assert pod["spec"]["containers"][0]["image"] == images.optimizer_classic


def test_lightgbm_finds_what_it_needs_in_the_same_image(space: Space, images: Images) -> None:
    space.apply(space.digits("forest", model="digits.lightgbm.txt"))
    status = space.healthy("forest", seconds=180)["status"]
    assert "accuracy 0.9" in status["stable"]["validation"]["message"]
    pod = optimizer_pod(space, "forest")
    assert pod["spec"]["containers"][0]["image"] == images.optimizer_classic
