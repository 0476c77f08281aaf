"""Names of things in an artifact store. Pure.

A store is rooted at ``<prefix>/<namespace uid>/``. Below it, bytes are content-addressed and a
manifest, written last and only if absent, commits them::

    blobs/sha256/<digest>
    manifests/<input key>/manifest.json      the commit mark
    manifests/<input key>/report.json        for people and tools
    manifests/<input key>/report.md
    manifests/<input key>/report.html

No resource's name is in a key: equal inputs share one artifact inside a namespace.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from slipway.errors import Invalid

MANIFEST: Final = "manifest.json"
MODEL: Final = "model.onnx"
MODEL_DATA: Final = "model.onnx.data"
GOLDEN: Final = "golden.npz"
FEEDS: Final = "feeds.npz"
REPORT_JSON: Final = "report.json"
REPORT_MD: Final = "report.md"
REPORT_HTML: Final = "report.html"
_CHUNK = 1 << 20
_PREFIX = "sha256:"


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values have equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest_of(data: bytes) -> str:
    """``sha256:<64 hex digits>`` of bytes."""
    return _PREFIX + hashlib.sha256(data).hexdigest()


def digest_of_file(path: Path) -> str:
    """``sha256:<64 hex digits>`` of a file, read in 1 MiB pieces."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return _PREFIX + sha.hexdigest()


def hex_of(digest: str) -> str:
    """The hex digits of ``sha256:<hex>``.

    Raises:
        Invalid: when it is not such a digest.
    """
    hexed = digest.removeprefix(_PREFIX)
    if hexed == digest or len(hexed) != 64 or set(hexed) - set("0123456789abcdef"):
        raise Invalid(f"'{digest[:80]}' is not a digest: expected sha256: and 64 hex digits")
    return hexed


def blob_key(digest: str) -> str:
    """Key of the blob with that digest."""
    return f"blobs/sha256/{hex_of(digest)}"


def manifest_key(input_key: str) -> str:
    """Key of the manifest of that input key (64 hex digits)."""
    return beside_manifest(input_key, MANIFEST)


def beside_manifest(input_key: str, name: str) -> str:
    """Key of a file that people look for next to the manifest."""
    return f"manifests/{hex_of(_PREFIX + input_key)}/{name}"


def join_uri(root: str, key: str) -> str:
    """``root`` and ``key`` with one slash between them."""
    return f"{root.rstrip('/')}/{key}"
