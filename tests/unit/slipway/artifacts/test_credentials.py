from pathlib import Path

import pytest

from slipway.artifacts.credentials import StorageConfig
from slipway.errors import Invalid


def test_a_secret_that_does_not_exist_is_named_and_never_means_aws(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(Invalid, match=r"the model storage's Secret does not exist.*create it"):
        StorageConfig.from_folder(folder)


def test_keys_that_are_absent_keep_their_defaults(tmp_path: Path) -> None:
    (tmp_path / "AWS_ENDPOINT_URL").write_text("http://store:9000\n")
    assert StorageConfig.from_folder(tmp_path) == StorageConfig(endpoint="http://store:9000")
