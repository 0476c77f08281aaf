"""The product's images, built where no container engine and no container registry is.

`runtime-image/build-images.sh` says how an image is built; this module runs it with buildah on our
own base image, once per content of what goes into the image, and keeps the archives.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import base_image
from tests.cluster.golang import exclusive
from tests.cluster.places import REPOSITORY, cache
from tests.cluster.shell import run, say

IMAGES = ("operator", "server", "optimizer", "optimizer-classic")

_SCRIPT = REPOSITORY / "runtime-image" / "build-images.sh"
# What pip needs where the machine's own settings lead to its registry: its settings and the
# certificates it trusts. They are mounted while building and never become part of an image.
_MACHINE = (
    (Path("/etc/ssl/certs"), "/etc/ssl/certs"),
    (Path("/etc/pip.conf"), "/etc/pip.conf"),
    (Path.home() / ".config/pip/pip.conf", "/etc/xdg/pip/pip.conf"),
)


@dataclass(frozen=True, slots=True)
class Image:
    """One built image.

    Attributes:
        name: Its full name with a tag that stands for its content.
        archive: The docker archive to load into a node.
        size: Its size in bytes, uncompressed.
        above_base: What it adds to the base image, in bytes.
    """

    name: str
    archive: Path
    size: int
    above_base: int


def build(which: tuple[str, ...] = IMAGES) -> list[Image]:
    """Returns the images of the tree as it is now, building those that the cache does not hold."""
    base = base_image.ensure()
    return [_build(each, base) for each in which]


def archives() -> Path:
    """Returns the folder of the archives."""
    return cache() / "images"


def _build(which: str, base: str) -> Image:
    image = f"slipway-{which}"
    name = f"localhost/{image}:{_content(which, base)}"
    archive = archives() / f"{name.rpartition('/')[2].replace(':', '.')}.tar"
    facts = archive.with_suffix(".json")
    with exclusive(archives() / image):
        if not facts.is_file():
            _forget(image)
            _make(which, base, name, archive)
            facts.write_text(json.dumps(_sizes(name, base)))
    size, above = json.loads(facts.read_text())
    return Image(name, archive, size, above)


def _make(which: str, base: str, name: str, archive: Path) -> None:
    say(f"building the image {which}")
    start = time.monotonic()
    script = ["nice", "-n", "10", str(_SCRIPT), "--engine", " ".join(base_image.engine())]
    names = ["--base-image", base, "--prefix", "localhost/", "--tag", name.rpartition(":")[2]]
    mounts = [f"--volume={here}:{there}:ro" for here, there in _MACHINE if here.exists()]
    flags = ["--isolation=chroot", "--network=host", "--layers", "--force-rm", "--quiet", *mounts]
    run([*script, *names, which, "--", *flags])
    base_image.buildah("push", "--quiet", name, f"docker-archive:{archive}:{name}")
    say(f"built {name} in {time.monotonic() - start:.0f} s")


def _forget(image: str) -> None:
    """Removes what earlier contents left; the layers that they share stay for the next build."""
    for old in archives().glob(f"{image}.*"):
        old.unlink()
    for tag in base_image.buildah("images", "--format", "{{.Name}}:{{.Tag}}").split():
        if tag.startswith(f"localhost/{image}:"):
            base_image.buildah("rmi", tag)


def _sizes(name: str, base: str) -> tuple[int, int]:
    listing = json.loads(base_image.buildah("images", "--json"))
    sizes = {each: _bytes(entry["size"]) for entry in listing for each in entry["names"] or []}
    return sizes[name], sizes[name] - sizes[base]


def _bytes(text: str) -> int:
    number, unit = text.split()
    return round(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()])


def _content(which: str, base: str) -> str:
    """Returns a digest of all that goes into an image: its Dockerfile and what that copies."""
    folder = "operator" if which == "operator" else "runtime-image"
    dockerfile = REPOSITORY / folder / "Dockerfile"
    digest = hashlib.sha256(f"{which}\n{base}\n".encode())
    for path in (dockerfile, _SCRIPT, *_copied(dockerfile.read_text())):
        digest.update(f"{path.relative_to(REPOSITORY)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _copied(dockerfile: str) -> Iterator[Path]:
    """Yields every file that a Dockerfile's COPY lines take from the tree."""
    lines = re.findall(r"^COPY (?!--)(.+) \S+$", dockerfile, re.MULTILINE)
    for source in (source for line in lines for source in line.split()):
        path = REPOSITORY / source
        if path.is_file():
            yield path
        for file in sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file
