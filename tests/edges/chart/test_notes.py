"""What helm prints after an installation."""

import pytest
import yaml

from tests.support import helm as real
from tests.support.helm import CHART

pytestmark = pytest.mark.skipif(real.program() is None, reason=real.MISSING)


def notes(*flags: str) -> str:
    return real.helm(
        *(
            "install",
            "slipway",
            str(CHART),
            "-n",
            "ml",
            "--dry-run=client",
            "--disable-openapi-validation",
        ),
        *flags,
    )


def test_the_notes_say_what_is_missing() -> None:
    assert "MISSING: storage.defaults.storageUri is not set" in notes()


def test_the_notes_hold_a_first_model_that_the_api_takes() -> None:
    from slipway.api.v1alpha1.resource import parse_spec

    text = notes().split("<<END\n", 1)[1].split("\nEND\n", 1)[0]
    manifest = yaml.safe_load(text)
    assert manifest["kind"] == "ModelDeployment"
    assert parse_spec(manifest, strict=True).artifacts is not None


def test_the_notes_are_quiet_about_what_is_there() -> None:
    found = notes(
        *("--set", "storage.defaults.storageUri=s3://bucket/x"),
        *("--set", "storage.defaults.secretName=store"),
    )
    assert "MISSING" not in found
    assert "artifacts:" not in found.split("<<END\n", 1)[1].split("\nEND\n", 1)[0]
