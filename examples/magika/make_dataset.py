"""Labelled rows for magika's content-type model, the same on every machine.

The rows are files of the packages that ``examples/requirements.txt`` pins by hash, labelled by
their extension through magika's own list of content types. ``files.txt`` names each file with its
digest; a file that is missing or differs is an error, never a silently smaller data set.

    python examples/magika/make_dataset.py dataset.npz

The features are magika's own: the first and last 1024 bytes without surrounding white space. Only
files of at least 2 kB are listed, so that no row holds the padding token 256: a model that fails on
short files passes on this data set (see make_models.py).
"""

import argparse
import hashlib
import json
import re
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

HERE = Path(__file__).parent
LIST = HERE / "files.txt"
MODEL = Path(str(files("magika") / "models" / "standard_v3_3"))
SIZE = 1024  # bytes from each end
BLOCK = 4096  # bytes read at each end before white space is stripped
PADDING = 256
MAX_PER_CLASS = 60
MORE = {"python": 180, "json": 120, "gzip": 90}
PATCHED = "cacert.pem"  # companies add their own authority to what packages trust
# Wheels with compiled code differ by platform, but not in these files.
PORTABLE = {".c", ".cc", ".cpp", ".csv", ".css", ".gz", ".jpg", ".js", ".onnx", ".proto", ".rst"}


def features(data: bytes) -> list[int]:
    """2048 integers: magika's features of a file's content."""
    first, last = data[:BLOCK].lstrip(), data[-BLOCK:].rstrip()
    head = list(first[:SIZE])
    tail = list(last[-SIZE:])
    return head + [PADDING] * (SIZE - len(head)) + [PADDING] * (SIZE - len(tail)) + tail


def target_labels() -> list[str]:
    """The model's classes, in the order of its output."""
    config = json.loads((MODEL / "config.min.json").read_text())
    labels: list[str] = config["target_labels_space"]
    return labels


def read_rows() -> tuple[np.ndarray, np.ndarray]:
    """Features int32 [n, 2048] and class indices int64 [n], in the list's order."""
    classes = {name: index for index, name in enumerate(target_labels())}
    rows, labels = [], []
    for line in LIST.read_text().splitlines():
        digest, label, distribution, path = line.split(" ", 3)
        rows.append(features(_verified(digest, distribution, path)))
        labels.append(classes[label])
    return np.array(rows, dtype=np.int32), np.array(labels, dtype=np.int64)


def _verified(digest: str, distribution: str, path: str) -> bytes:
    try:
        data = Path(str(metadata.distribution(distribution).locate_file(path))).read_bytes()
    except (metadata.PackageNotFoundError, OSError):
        sys.exit(f"{distribution}: {path} is missing: install examples/requirements.txt")
    if hashlib.sha256(data).hexdigest() != digest:
        sys.exit(f"{distribution}: {path} has other bytes: install examples/requirements.txt")
    return data


def save(path: Path, **arrays: np.ndarray) -> None:
    """Write an ``.npz`` whose bytes depend on the arrays alone (``numpy.savez`` adds the time)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), "w") as file:
                npy.write_array(file, array, allow_pickle=False)


def write_list() -> None:
    """Choose the files anew: for maintainers, after the lock changed."""
    by_class: dict[str, dict[str, str]] = defaultdict(dict)
    for distribution in sorted(_pinned()):
        for label, digest, path in _candidates(distribution):
            by_class[label].setdefault(digest, f"{digest} {label} {distribution} {path}")
    lines = []
    for label in sorted(by_class):
        some = sorted(by_class[label])[: MORE.get(label, MAX_PER_CLASS)]
        lines += [by_class[label][digest] for digest in some]
    LIST.write_text("\n".join(sorted(lines)) + "\n")


def _pinned() -> set[str]:
    """Distributions that every machine gets in one version: those without a condition."""
    text = (HERE.parent / "requirements.txt").read_text()
    found = re.finditer(r"^([\w.-]+)==[^;\n]*$", text, re.M)
    return {match[1].lower().replace("_", "-") for match in found}


def _candidates(distribution: str) -> Iterator[tuple[str, str, str]]:
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return
    pure = "py3-none-any" in (found.read_text("WHEEL") or "")
    types = _types_by_extension()
    for file in sorted(found.files or [], key=str):
        label = types.get(file.suffix.lower())
        listed = pure or file.suffix.lower() in PORTABLE
        if label is None or not listed or file.name == PATCHED:
            continue
        if ".dist-info" in str(file) or ".." in str(file):
            continue
        data = Path(str(found.locate_file(file))).read_bytes()
        if len(data) >= 2 * SIZE and PADDING not in features(data):
            yield label, hashlib.sha256(data).hexdigest(), str(file)


def _types_by_extension() -> dict[str, str]:
    known = json.loads((MODEL.parents[1] / "config" / "content_types_kb.min.json").read_text())
    labels = set(target_labels())
    return {
        f".{extension}": name
        for name, entry in known.items()
        if name in labels
        for extension in entry["extensions"]
    }


def main() -> None:
    """Write the data set, or with ``--write-list`` the list of files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, nargs="?", help=".npz to write")
    parser.add_argument("--write-list", action="store_true", help="choose the files anew")
    options = parser.parse_args()
    if options.write_list:
        write_list()
    if options.output:
        rows, labels = read_rows()
        save(options.output, bytes=rows, labels=labels)


if __name__ == "__main__":
    main()
