"""The programs that come from the distribution, and getting those that are missing."""

import os
import shutil
from pathlib import Path

from tests.cluster.shell import Failure, environment, run, say

CNI_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))

_PKI = {"openssl": "openssl", "unshare": "util-linux", "nsenter": "util-linux"}
_NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "cni/bridge": "containernetworking-plugins",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "catatonit": "catatonit",
    "ip": "iproute2",
    "mount": "mount",
}
# What each purpose runs, and the Debian package that brings it.
PURPOSES: dict[str, dict[str, str]] = {
    "api": _PKI,
    "node": _PKI | _NODE,
    "images": {"debootstrap": "debootstrap", "buildah": "buildah"},
}


def find(program: str) -> Path | None:
    """Returns where a program lies, or nothing; `cni/NAME` is a network plugin."""
    if program.startswith("cni/"):
        plugins = [folder / program.removeprefix("cni/") for folder in CNI_FOLDERS]
        return next((plugin for plugin in plugins if plugin.is_file()), None)
    found = shutil.which(program, path=environment()["PATH"])
    return Path(found) if found else None


def ensure(purpose: str) -> None:
    """Makes sure that every program of a purpose is there, installing packages where it may.

    Raises:
        Failure: Something is missing that this user cannot install here.
    """
    missing = _missing(purpose)
    if not missing:
        return
    if os.geteuid() != 0 or find("apt-get") is None:
        raise Failure(
            f"Missing here: {', '.join(sorted(missing))}. Install the packages "
            f"{' '.join(sorted(set(missing.values())))} (their names on Debian) and try again."
        )
    packages = sorted(set(missing.values()))
    say(f"installing {' '.join(packages)}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], env=quiet)
    run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages], env=quiet)
    still = _missing(purpose)
    if still:
        raise Failure(f"Still missing after installing: {', '.join(sorted(still))}.")


def _missing(purpose: str) -> dict[str, str]:
    wanted = PURPOSES[purpose]
    return {program: package for program, package in wanted.items() if find(program) is None}
