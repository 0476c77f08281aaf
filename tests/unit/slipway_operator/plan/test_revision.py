from typing import Any

import pytest

from slipway.api.v1alpha1.resource import parse_spec
from slipway.errors import Invalid
from slipway_operator.plan.config import DefaultArtifacts, Images
from slipway_operator.plan.revision import read_revision, snapshot, target_name
from tests.support.builders import CLASSIC_IMAGE, OPTIMIZER_IMAGE, SERVER_IMAGE, config
from tests.support.worlds import NAMESPACE_UID, served, stored_revision, target_of

# Frozen: another value means that an upgrade of the operator starts a canary for every user.
MINIMAL = "fraud-3261bd45dd"
RICH = "fraud-2682ecfa94"

RICH_SPEC: dict[str, Any] = {
    "optimization": {
        "mode": "Explicit",
        "objective": "MinSize",
        "candidates": [{"name": "int8", "quantization": {"mode": "Static", "perChannel": False}}],
    },
    "validation": {
        "dataset": {"storageUri": "s3://data/fraud.npz", "calibrationFraction": "0.3"},
        "gates": [{"name": "accuracy", "metric": "accuracy", "min": "0.9"}],
    },
    "predictor": {
        "runtimeImage": "registry.example/mine:2",
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
        "session": {"intraOpNumThreads": 2},
    },
}


def test_the_hash_of_a_spec_is_frozen() -> None:
    assert target_of(served()) == MINIMAL
    assert target_of(served(**RICH_SPEC)) == RICH


@pytest.mark.parametrize(
    "defaults",
    [
        {"optimization": {}},
        {"optimization": {"mode": "Auto", "objective": "MinLatencyP95", "candidates": []}},
        {"validation": {"task": "Classification", "labels": "labels", "gates": []}},
        {"predictor": {"concurrency": {"maxQueued": 256}, "warmup": {"iterations": 10}}},
        {"predictor": {"resources": {"requests": {}, "limits": {}}, "session": {}}},
    ],
)
def test_a_default_that_is_spelt_out_is_the_same_revision(defaults: dict[str, Any]) -> None:
    assert target_of(served(**defaults)) == target_of(served())


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 9},
        {"autoscaling": {"maxReplicas": 7}},
        {"rollout": {"canary": {"steps": [{"setWeight": 50}]}}},
        {"job": {"backoffLimit": 0}},
        {"revisionHistoryLimit": 1},
        {"progressDeadlineSeconds": 30},
        {"artifacts": {"storageUri": "s3://elsewhere/x"}},
    ],
)
def test_what_does_not_make_the_model_starts_no_canary(change: dict[str, Any]) -> None:
    assert target_of(served(**change)) == target_of(served())


@pytest.mark.parametrize("room", ["optimization", "validation", "predictor"])
def test_what_makes_the_model_is_another_revision(room: str) -> None:
    assert target_of(served(**{room: RICH_SPEC[room]})) != target_of(served())
    assert target_of(served(model="v2")) != target_of(served())


def test_a_default_image_names_nothing_but_is_kept() -> None:
    spec = parse_spec(served())
    assert target_name("fraud", spec) == MINIMAL
    content = snapshot(spec, namespace_uid=NAMESPACE_UID, config=config())
    assert (content.server_image, content.optimizer_image) == (SERVER_IMAGE, OPTIMIZER_IMAGE)
    assert content.artifacts_uri == f"s3://artifacts/team/{NAMESPACE_UID}"
    assert content.artifacts_storage is not None
    assert content.artifacts_storage.secret_ref.name == "store"


def test_the_format_chooses_the_optimizer_s_image() -> None:
    resource = served()
    resource["spec"]["model"]["modelFormat"] = {"name": "sklearn"}
    assert stored_revision(resource).content.optimizer_image == CLASSIC_IMAGE


ALL_IMAGES = Images(
    "s",
    "onnx",
    "classic",
    optimizer_torch="torch",
    optimizer_tensorflow="tensorflow",
    optimizer_mindspore="mindspore",
    server_openvino="s-openvino",
    optimizer_openvino="o-openvino",
    server_cuda="s-cuda",
    optimizer_cuda="o-cuda",
    loader_images=("team/a:*", "b"),
)


@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("onnx", "onnx"),
        ("sklearn", "classic"),
        ("xgboost", "classic"),
        ("lightgbm", "classic"),
        ("pytorch", "torch"),
        ("tensorflow", "tensorflow"),
        ("mindspore", "mindspore"),
    ],
)
def test_each_format_has_its_optimizer_s_image(name: str, image: str) -> None:
    resource = served()
    resource["spec"]["model"]["modelFormat"] = {"name": name}
    assert stored_revision(resource, images=ALL_IMAGES).content.optimizer_image == image


@pytest.mark.parametrize(
    ("name", "exports", "image"),
    [
        ("onnx", ["TFLite", "SavedModel"], "tensorflow"),
        ("onnx", ["PT2"], "torch"),
        ("tensorflow", ["TFLite"], "tensorflow"),
        ("pytorch", ["PT2"], "torch"),
    ],
)
def test_exports_go_to_the_image_that_writes_them(
    name: str, exports: list[str], image: str
) -> None:
    resource = served(optimization={"exports": exports})
    resource["spec"]["model"]["modelFormat"] = {"name": name}
    assert stored_revision(resource, images=ALL_IMAGES).content.optimizer_image == image


def test_an_export_of_another_framework_than_the_format_s_is_refused() -> None:
    resource = served(optimization={"exports": ["PT2"]})
    resource["spec"]["model"]["modelFormat"] = {"name": "sklearn"}
    with pytest.raises(Invalid, match=r"reads modelFormat\.name sklearn, and no image holds both"):
        parse_spec(resource)


def test_an_export_without_an_image_is_refused_with_the_remedy() -> None:
    spec = parse_spec(served(optimization={"exports": ["TFLite"]}))
    with pytest.raises(Invalid, match=r"no optimizer image writes TFLite: .*or leave it out"):
        snapshot(spec, namespace_uid="u", config=config())


TRAINS = {
    "mode": "Explicit",
    "candidates": [{"name": "thin", "pruning": {"method": "Structured", "value": "50"}}],
}


@pytest.mark.parametrize("name", ["onnx", "pytorch"])
def test_a_candidate_that_trains_goes_to_the_image_with_pytorch(name: str) -> None:
    resource = served(optimization=TRAINS)
    resource["spec"]["model"]["modelFormat"] = {"name": name}
    assert stored_revision(resource, images=ALL_IMAGES).content.optimizer_image == "torch"


@pytest.mark.parametrize(
    ("name", "more", "images", "words"),
    [
        ("tensorflow", {}, ALL_IMAGES, r"reads modelFormat tensorflow lacks it: convert"),
        ("onnx", {"exports": ["TFLite"]}, ALL_IMAGES, r"no image holds both: use one resource"),
        ("onnx", {}, Images("s", "onnx", "c"), r"sets runtime\.images\.optimizerTorch"),
    ],
    ids=["another framework", "another framework's export", "no such image"],
)
def test_training_without_an_image_for_it_is_refused_with_the_remedy(
    name: str, more: dict[str, Any], images: Images, words: str
) -> None:
    resource = served(optimization=TRAINS | more)
    resource["spec"]["model"]["modelFormat"] = {"name": name}
    with pytest.raises(Invalid, match=words):
        snapshot(parse_spec(resource), namespace_uid="u", config=config(images=images))


def on(provider: str, **more: Any) -> dict[str, Any]:
    fast = {"name": "fast", "executionProvider": provider}
    plain = {"name": "int8", "quantization": {"mode": "Dynamic"}}
    return {"mode": "Explicit", "candidates": [plain, fast], **more}


@pytest.mark.parametrize(
    ("provider", "server", "optimizer"),
    [
        ("CPU", "s", "onnx"),
        ("OpenVINO", "s-openvino", "o-openvino"),
        ("CUDA", "s-cuda", "o-cuda"),
    ],
)
def test_what_wins_is_served_by_the_runtime_that_measured_it(
    provider: str, server: str, optimizer: str
) -> None:
    candidate = {"name": "a", "precision": "FP16", "executionProvider": provider}
    optimization = {"mode": "Explicit", "candidates": [candidate]}
    resource = served(optimization=optimization)
    content = stored_revision(resource, images=ALL_IMAGES).content
    assert (content.server_image, content.optimizer_image) == (server, optimizer)


@pytest.mark.parametrize(
    ("resource", "images", "words"),
    [
        (
            served(optimization=on("OpenVINO", exports=["PT2"])), ALL_IMAGES,
            "has that and writes PT2",
        ),
        (
            served(optimization=on("CUDA", candidates=[
                {"name": "a", "executionProvider": "CUDA", "distillation": {}}])),
            ALL_IMAGES, "has that and trains: publish the ONNX model by a resource of its own",
        ),
        (
            served(optimization=on("CUDA")), Images("s", "onnx", "c"),
            r"no server image has executionProvider CUDA, .* sets runtime\.images\.serverCuda of",
        ),
        (
            served(optimization=on("OpenVINO")), Images("s", "onnx", "c", server_openvino="s"),
            r"administrator sets runtime\.images\.optimizerOpenvino of the Helm chart, or leave",
        ),
    ],
    ids=["an export", "training", "no server image", "no optimizer image"],
)  # fmt: skip
def test_a_provider_without_an_image_for_the_whole_is_refused_with_the_remedy(
    resource: dict[str, Any], images: Images, words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        snapshot(parse_spec(resource), namespace_uid="u", config=config(images=images))


def test_another_format_than_onnx_is_converted_before_another_provider_runs_it() -> None:
    resource = served(optimization=on("OpenVINO"))
    resource["spec"]["model"]["modelFormat"] = {"name": "sklearn"}
    with pytest.raises(Invalid, match="has that and reads modelFormat sklearn: publish"):
        snapshot(parse_spec(resource), namespace_uid="u", config=config(images=ALL_IMAGES))


def test_a_format_without_an_image_is_refused_with_the_remedy() -> None:
    resource = served()
    resource["spec"]["model"]["modelFormat"] = {"name": "mindspore"}
    with pytest.raises(
        Invalid, match=r"no optimizer image for modelFormat mindspore: .*or convert"
    ):
        snapshot(parse_spec(resource), namespace_uid="u", config=config())


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        ("team/a:1", True),
        ("team/a:2@sha256:" + "0" * 64, True),
        ("b", True),
        ("team/a", False),
        ("bb", False),
        ("evil/team/a:1", False),
    ],
)
def test_a_loader_s_image_is_one_that_the_administrator_lists(image: str, allowed: bool) -> None:
    resource = served()
    resource["spec"]["model"] |= {
        "modelFormat": {"name": "pytorch"},
        "loader": {"storageUri": "s3://m/load.py", "image": image},
    }
    if allowed:
        assert stored_revision(resource, images=ALL_IMAGES).content.optimizer_image == image
    else:
        with pytest.raises(Invalid, match=r"the administrator allows team/a:\*, b: ask to add"):
            snapshot(parse_spec(resource), namespace_uid="u", config=config(images=ALL_IMAGES))


def students(*images: str | None) -> dict[str, Any]:
    candidates = [
        {"name": f"own{n}", "distillation": {"loader": {"storageUri": "s3://m/s.py"} | (
            {} if image is None else {"image": image})}}
        for n, image in enumerate(images)
    ]  # fmt: skip
    return {"mode": "Explicit", "candidates": candidates}


def test_a_student_learns_in_pytorch_s_image_or_in_one_that_its_loader_names() -> None:
    plain = stored_revision(served(optimization=students(None)), images=ALL_IMAGES)
    assert plain.content.optimizer_image == "torch"
    own = stored_revision(served(optimization=students(None, "b", "b")), images=ALL_IMAGES)
    assert own.content.optimizer_image == "b"


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (("evil",), "the image of candidate own0's loader is 'evil', but the administrator allows"),
        (
            ("b", "team/a:1"),
            (
                "candidate own0's loader is 'b' and the image of candidate own1's loader is "
                "'team/a:1', but one Job has one image"
            ),
        ),
    ],
)
def test_a_student_s_image_is_one_for_all_and_allowed(images: tuple[str, ...], words: str) -> None:
    resource = served(optimization=students(*images))
    with pytest.raises(Invalid, match=words):
        snapshot(parse_spec(resource), namespace_uid="u", config=config(images=ALL_IMAGES))


@pytest.mark.parametrize("field", ["storageUri", "weightsUri"])
def test_a_student_s_file_is_refused_outside_local_mode(field: str) -> None:
    loader = {"storageUri": "s3://m/s.py"} | {field: "file:///s"}
    wished = {"mode": "Explicit", "candidates": [{"name": "a", "distillation": {"loader": loader}}]}
    with pytest.raises(Invalid, match=f"{field} of the loader of candidate a is 'file:///s'"):
        snapshot(
            parse_spec(served(optimization=wished)),
            namespace_uid="u",
            config=config(images=ALL_IMAGES),
        )


def test_the_user_s_own_store_replaces_the_default_and_its_secret() -> None:
    resource = served(artifacts={"storageUri": "s3://mine/a/"})
    content = stored_revision(resource).content
    assert content.artifacts_uri == f"s3://mine/a/{NAMESPACE_UID}"
    assert content.artifacts_storage is None


def test_a_default_store_without_a_secret_needs_none() -> None:
    content = stored_revision(
        served(), default_artifacts=DefaultArtifacts("s3://artifacts/team")
    ).content
    assert content.artifacts_storage is None


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"artifacts": {"storageUri": "file:///a"}}, "spec.artifacts.storageUri"),
        (
            {"validation": {"dataset": {"storageUri": "file:///d"}}},
            "spec.validation.dataset.storageUri",
        ),
        (
            {"model": {"modelFormat": {"name": "onnx"}, "storageUri": "file:///m"}},
            "spec.model.storageUri",
        ),
        (
            {
                "model": {
                    "modelFormat": {"name": "pytorch"},
                    "storageUri": "s3://b/m.pt",
                    "loader": {"storageUri": "file:///l"},
                }
            },
            "spec.model.loader.storageUri",
        ),
    ],
)
def test_a_file_is_refused_by_its_field_outside_local_mode(
    spec: dict[str, Any], field: str
) -> None:
    resource = served()
    resource["spec"] |= spec
    with pytest.raises(Invalid, match=f"{field} is 'file:///.'.*local mode only"):
        snapshot(parse_spec(resource), namespace_uid="u", config=config(images=ALL_IMAGES))
    local = config(images=ALL_IMAGES, allow_files=True)
    snapshot(parse_spec(resource), namespace_uid="u", config=local)


def test_without_any_place_for_artifacts_the_remedy_is_named() -> None:
    with pytest.raises(Invalid, match=r"set spec\.artifacts\.storageUri, or storage\.defaults"):
        snapshot(parse_spec(served()), namespace_uid="u", config=config(default_artifacts=None))


def test_a_stored_revision_is_read_back_whole() -> None:
    revision = stored_revision(served(**RICH_SPEC), number=3)
    assert read_revision(revision.object) == revision
    assert (revision.name, revision.number) == (RICH, 3)


def test_what_nobody_can_read_is_no_revision() -> None:
    obj = stored_revision(served()).object
    assert read_revision({**obj, "data": {"foreign": True}}) is None
    broken = {**obj, "metadata": {**obj["metadata"], "annotations": {"slipway.dev/result": "{"}}}
    assert read_revision(broken) is None
