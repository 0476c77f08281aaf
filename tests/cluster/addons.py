"""The pods that a cluster with a node starts with: their images and manifests."""

from dataclasses import dataclass
from pathlib import Path

from tests.cluster.debian import find
from tests.cluster.files import PAUSE_IMAGE
from tests.cluster.golang import program
from tests.cluster.places import cache
from tests.cluster.shell import Failure
from tests.cluster.tarball import image_of


@dataclass(frozen=True, slots=True)
class Addon:
    """A program of ours that runs as a pod; `manifests/NAME.yaml` says how."""

    name: str

    def archive(self) -> Path:
        """Returns its image archive, made when it is not there."""
        binary = program(self.name)
        archive = binary.with_name(f"{self.name}.tar")
        return image_of(binary, archive, name=f"localhost/{self.name}:cluster")


ADDONS = (Addon("coredns"), Addon("metrics-server"))


def pause_archive() -> Path:
    """Returns the archive of the image that holds a pod's namespaces open.

    Debian's catatonit is static and has a mode made for this.
    """
    binary = find("catatonit")
    if binary is None:
        raise Failure("The program catatonit is missing: install the package catatonit.")
    archive = cache() / "images" / "pause.tar"
    return image_of(binary, archive, name=PAUSE_IMAGE, arguments=("-P",))
