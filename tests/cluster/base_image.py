"""The base image of the product's images where no container registry can be reached.

It stands in for `python:3.12-slim`: the distribution of this machine, from the mirror that its own
apt uses, with Python and nothing else.
"""

import hashlib
import platform
import shutil
import tempfile
import time
from pathlib import Path

from tests.cluster import debian
from tests.cluster.golang import exclusive
from tests.cluster.places import cache
from tests.cluster.shell import Failure, run, say, succeeds

_PACKAGES = ("ca-certificates", "python3", "python3-venv")
# What no running program reads.
_WASTE = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/man",
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt/lists",
    "var/log",
)


def buildah(*arguments: str | Path) -> str:
    """Runs buildah on an image store of our own, inside the cache."""
    return run(["nice", "-n", "10", *engine(), *arguments])


def ensure() -> str:
    """Returns the name of the base image, made when our image store does not hold it."""
    debian.ensure("images")
    suite, mirror = _source()
    key = hashlib.sha256("\n".join([suite, *_PACKAGES, *_WASTE]).encode()).hexdigest()[:12]
    name = f"localhost/slipway-base:{suite}-{key}"
    with exclusive(cache() / "buildah" / "base"):
        if not succeeds([*engine(), "inspect", "--type", "image", name]):
            _make(name, suite, mirror)
    return name


def engine() -> list[str]:
    """Returns buildah with the flags of that store."""
    store = cache() / "buildah"
    return ["buildah", "--root", str(store / "root"), "--runroot", str(store / "run")]


def _source() -> tuple[str, str]:
    """Returns this machine's Debian release and the mirror that its apt settings name."""
    listing = run(["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)"])
    suite = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    for line in listing.splitlines():
        name, _, mirror = line.partition(" ")
        if suite and name == suite:
            return suite, mirror
    raise Failure("apt's settings name no mirror of this machine's own Debian release.")


def _make(name: str, suite: str, mirror: str) -> None:
    say(f"making the base image from {suite}")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=cache()) as folder:
        tree = Path(folder) / "tree"
        include = f"--include={','.join(_PACKAGES)}"
        debootstrap = ["debootstrap", "--variant=minbase", include, suite, str(tree), mirror]
        # In a mount namespace of its own, so that what it mounts cannot stay behind.
        run(["nice", "-n", "10", "unshare", "--mount", *debootstrap])
        for waste in _WASTE:
            shutil.rmtree(tree / waste, ignore_errors=True)
            (tree / waste).mkdir()
        container = buildah("from", "scratch").strip()
        buildah("add", "--quiet", container, tree, "/")
        buildah("config", "--env", "LANG=C.UTF-8", "--cmd", "python3", container)
        buildah("commit", "--quiet", "--rm", container, name)
    say(f"made {name} in {time.monotonic() - start:.0f} s")
