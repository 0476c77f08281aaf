"""Named arrays and the ``.npz`` files that hold them."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from slipway.errors import Invalid

Array = NDArray[Any]
Arrays = dict[str, Array]
INPUT_PREFIX: Final = "input:"
OUTPUT_PREFIX: Final = "output:"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SUFFIX = ".npy"


def save_npz(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays, compressed, so that equal arrays give equal bytes (``np.savez`` does not)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(arrays):
            info = zipfile.ZipInfo(name + _SUFFIX, date_time=_EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            with archive.open(info, "w", force_zip64=True) as file:
                npy.write_array(file, np.ascontiguousarray(arrays[name]), allow_pickle=False)


def load_npz(path: Path, *, limit: int) -> Arrays:
    """Read every array of a file that nobody vouches for.

    Raises:
        Invalid: not an npz, larger than ``limit`` bytes unpacked, or with pickled objects.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(_SUFFIX)]
            unpacked = sum(member.file_size for member in members)
            if unpacked > limit:
                raise Invalid(
                    f"the .npz unpacks to {unpacked} bytes, more than {limit}: use fewer rows"
                )
            arrays = {}
            for member in members:
                name = member.filename.removesuffix(_SUFFIX)
                with archive.open(member) as file:
                    arrays[name] = _read_array(file, name)
            return arrays
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise Invalid("the file is not an .npz archive: write it with numpy.savez") from error


def _read_array(file: Any, name: str) -> Array:
    try:
        array: Array = npy.read_array(file, allow_pickle=False)
    except ValueError as error:
        remedy = "save numbers, booleans or fixed-width text"
        raise Invalid(f"array '{name}' is not readable or holds objects: {remedy}") from error
    return array


def rows_of(arrays: Arrays) -> int:
    """Length of the first dimension, which all arrays share."""
    return len(next(iter(arrays.values()))) if arrays else 0


def take(arrays: Arrays, rows: slice | NDArray[np.int64]) -> Arrays:
    """Those rows of every array."""
    return {name: array[rows] for name, array in arrays.items()}


def first_rows(arrays: Arrays, *, least: int, most: int, limit: int) -> Arrays:
    """The first rows: ``most``, or as many as take ``limit`` bytes, but not below ``least``."""
    each = sum(array.nbytes for array in arrays.values()) // max(1, rows_of(arrays))
    return take(arrays, slice(0, min(most, max(least, limit // max(1, each)))))


def concatenate(parts: list[Arrays]) -> Arrays:
    """Parts of equal names, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
