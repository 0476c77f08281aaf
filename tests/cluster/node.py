"""What makes a node of a bare namespace: its mounts, its network and its cgroups.

All but `make_cgroups` and `remove_cgroups` change only the mount and network namespaces that they
run in, which end with the cluster.
"""

import os
import time
from pathlib import Path

from tests.cluster.files import NODE_ADDRESS, resolver
from tests.cluster.places import Cluster
from tests.cluster.shell import Failure, run

_CGROUPS = Path("/sys/fs/cgroup")
_VAR_LIB = Path("/var/lib")
# The kubelet wants these to be so and would set them for the whole machine.
_KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def prepare(cluster: Cluster) -> None:
    """Turns this namespace into the machine that the node runs on."""
    _mounts(cluster.state)
    _network()
    make_cgroups(cluster.cgroup)


def _mounts(state: Path) -> None:
    run(["mount", "--make-rshared", "/"])  # shared with nobody outside: unshare made it private
    resolv = Path("/etc/resolv.conf").resolve()
    run(["mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run"])
    resolv.parent.mkdir(parents=True, exist_ok=True)
    resolv.touch()
    _cover(resolv, _text(state / "resolv.conf", resolver()))
    _text(state / "resolv-upstream.conf", "")
    log = state / "logs" / "var"
    log.mkdir(parents=True)
    _cover(Path("/var/log"), log)
    _cover_var_lib(state)
    _pretend_kernel_settings(state / "sysctl")


def _cover_var_lib(state: Path) -> None:
    """Lets what is written to /var/lib vanish: the kubelet and libcni have fixed places there."""
    if state.is_relative_to(_VAR_LIB):
        raise Failure(f"{state} is in {_VAR_LIB}: set SLIPWAY_CACHE to a folder outside of it.")
    upper, work = Path("/run/var-lib/upper"), Path("/run/var-lib/work")
    for folder in (upper, work):
        folder.mkdir(parents=True)
    layers = f"lowerdir={_VAR_LIB},upperdir={upper},workdir={work}"
    run(["mount", "-t", "overlay", "-o", layers, "var-lib", _VAR_LIB])


def _pretend_kernel_settings(folder: Path) -> None:
    """Shows the kubelet the settings that it wants, so that it leaves the machine's alone."""
    folder.mkdir()
    for name, value in _KERNEL.items():
        setting = Path("/proc/sys") / name
        if setting.exists():
            _cover(setting, _text(folder / name.replace("/", "."), f"{value}\n"))


def _cover(target: Path, source: Path) -> None:
    run(["mount", "--bind", source, target])


def _text(path: Path, content: str) -> Path:
    path.write_text(content)
    return path


def _network() -> None:
    """Gives the namespace loopback, an address of its own and a default route.

    A pair with both ends inside stands in for a network card: not every kernel has `dummy`.
    """
    for arguments in (
        "link set lo up",
        "link add node0 type veth peer name node0-peer",
        f"address add {NODE_ADDRESS}/24 dev node0",
        "link set node0 up",
        "link set node0-peer up",
        "route add default dev node0",
    ):
        run(["ip", *arguments.split()])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    bridged = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    if not bridged.exists():
        raise Failure("The kernel module br_netfilter is not loaded: `modprobe br_netfilter`.")
    bridged.write_text("1")


def make_cgroups(name: str) -> None:
    """Makes the cgroup that the kubelet puts all pods under, in every hierarchy."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # empty in a new group of cgroup v1
            if (group / setting).exists() and not (group / "cgroup.controllers").exists():
                (group / setting).write_text((hierarchy / setting).read_text())


def remove_cgroups(name: str) -> None:
    """Removes the emptied cgroups of a cluster that has ended.

    Raises:
        Failure: Something still runs in one of them.
    """
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / name, topdown=False):
            _remove_cgroup(Path(folder))


def _remove_cgroup(group: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:  # the kernel lets go of the last process a moment later
            if time.monotonic() > deadline:
                raise Failure(f"The cgroup {group} cannot be removed: {error}") from error
            time.sleep(0.05)
        else:
            return


def _hierarchies() -> list[Path]:
    """Returns the roots of all cgroup hierarchies: one of version 2, or several of version 1."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    if not _CGROUPS.is_dir():
        return []
    return [entry for entry in _CGROUPS.iterdir() if not entry.is_symlink() and entry.is_dir()]
