import pytest

from slipway.errors import Invalid
from slipway_operator.settings import read

NEEDED = {
    "SLIPWAY_IMAGE_SERVER": "s",
    "SLIPWAY_IMAGE_OPTIMIZER": "o",
    "SLIPWAY_IMAGE_OPTIMIZER_CLASSIC": "c",
    "SLIPWAY_POD_NAME": "pod",
    "SLIPWAY_POD_NAMESPACE": "ns",
}


def test_what_is_not_set_has_a_default() -> None:
    found = read(NEEDED)
    assert (found.namespaces, found.port, found.log_level, found.json_logs) == (
        (),
        8081,
        "INFO",
        False,
    )
    assert found.config.default_artifacts is None
    assert found.config.images.pull_policy == "IfNotPresent"
    assert (found.identity, found.lease_namespace) == ("pod", "ns")


def test_lists_are_separated_by_commas() -> None:
    found = read(
        {**NEEDED, "SLIPWAY_WATCH_NAMESPACES": " a, b,,", "SLIPWAY_IMAGE_PULL_SECRETS": "x"}
    )
    assert (found.namespaces, found.config.images.pull_secrets) == (("a", "b"), ("x",))


def test_images_of_single_formats_may_be_absent() -> None:
    images = read({**NEEDED, "SLIPWAY_IMAGE_OPTIMIZER_TORCH": "t"}).config.images
    assert images.all == ("s", "o", "c", "t")
    images = read({**NEEDED, "SLIPWAY_IMAGE_SERVER_CUDA": "g"}).config.images
    assert (images.server_cuda, images.server_openvino, images.all[3:]) == ("g", "", ("g",))
    allowed = read({**NEEDED, "SLIPWAY_LOADER_IMAGES": "team/*,b:1"}).config.images.loader_images
    assert allowed == ("team/*", "b:1")


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_what_is_missing_is_named(name: str) -> None:
    with pytest.raises(Invalid, match=f"{name} is not set"):
        read({**NEEDED, name: " "})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLIPWAY_ARTIFACTS_URI", "http://x"),
        ("SLIPWAY_LOG_LEVEL", "loud"),
        ("SLIPWAY_OPERATOR_PORT", "0"),
        ("SLIPWAY_OPERATOR_PORT", "65536"),
        ("SLIPWAY_OPERATOR_PORT", "http"),
        ("SLIPWAY_RESYNC_SECONDS", "9"),
        ("SLIPWAY_RESYNC_SECONDS", "86401"),
        ("SLIPWAY_RESYNC_SECONDS", "1e3"),
    ],
)
def test_what_is_unusable_is_named_with_its_value(name: str, value: str) -> None:
    with pytest.raises(Invalid, match=f"(?i){name} is '{value}'"):
        read({**NEEDED, name: value})


def test_the_resync_has_a_default() -> None:
    assert read(NEEDED).resync_seconds == 600
    assert read({**NEEDED, "SLIPWAY_RESYNC_SECONDS": "20"}).resync_seconds == 20
