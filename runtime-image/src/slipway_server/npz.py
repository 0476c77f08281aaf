"""Arrays in ``.npz`` files that were verified before."""

import zipfile
from pathlib import Path

import numpy as np

from slipway.errors import Invalid
from slipway_server.protocol.tensors import Array


def load(path: Path) -> dict[str, Array]:
    """All arrays of a file. Pickled objects are refused.

    Raises:
        Invalid: not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise Invalid(f"'{path.name}' is not an .npz file of plain arrays: {error}") from error
