"""Starting, entering and ending a cluster, seen from outside."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from tests.cluster import debian, files, golang, pki, processes
from tests.cluster.addons import ADDONS, pause_archive
from tests.cluster.inside import KEEP, READY
from tests.cluster.node import remove_cgroups
from tests.cluster.places import REPOSITORY, Cluster, cgroup_of, load, state_of
from tests.cluster.shell import Failure, environment, say


def up(name: str, *, node: bool, controllers: bool, audit: bool) -> None:
    """Starts a cluster and returns when it works.

    Raises:
        Failure: It runs already, or did not come up; then nothing of it is left.
    """
    if processes.recorded(state_of(name)) is not None:
        raise Failure(f"A cluster {name!r} runs already: `python -m tests.cluster down` ends it.")
    if node and os.geteuid() != 0:
        raise Failure("A node needs root: run this as root, or use --api-only.")
    _get_parts(node=node, controllers=controllers)
    with golang.exclusive(state_of(name)):
        if processes.recorded(state_of(name)) is not None:
            raise Failure(f"Another `up` has just started the cluster {name!r}.")
        try:
            down(name)  # what a killed `up` may have left
            with closing(socket.create_server(("127.0.0.1", 0))) as listener:
                cluster = _decide(name, listener, node=node, controllers=controllers, audit=audit)
                if not node:
                    listener.close()  # the API server itself takes this port
                _write_files(cluster)
                _start(cluster, listener)
        except BaseException:
            down(name)
            raise
    say("ready")


def down(name: str) -> None:
    """Ends a cluster and removes all that it wrote; does nothing when there is none."""
    state = state_of(name)
    first = processes.recorded(state)
    if first is not None:
        processes.kill(first)
    remove_cgroups(cgroup_of(name))
    shutil.rmtree(state, ignore_errors=True)
    if state.exists():  # a process of the cluster may have been writing
        shutil.rmtree(state)


def enter(name: str, command: list[str]) -> list[str]:
    """Returns the command that runs a program inside, in this folder, with the cluster's tools.

    The program ends when this process does.
    """
    cluster = load(name)
    first = processes.recorded(cluster.state)
    if first is None:
        raise Failure(f"The cluster {name!r} does not run: `python -m tests.cluster up` starts it.")
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    namespaces = [*user, *(["--net"] if cluster.node else []), "--mount", "--pid"]
    return [
        *("nsenter", "--target", str(first.pid), *namespaces, f"--wd={Path.cwd()}", "--"),
        *("setpriv", "--pdeathsig", "KILL", "--", *command),
    ]


def execute(name: str, command: list[str]) -> NoReturn:
    """Becomes a program that runs inside."""
    argv = enter(name, command)
    env = environment(variables(name))
    os.execvpe(argv[0], argv, env)


def variables(name: str) -> dict[str, str]:
    """Returns the environment variables with which a program uses the cluster."""
    tools = ":".join(str(folder) for folder in golang.folders())
    path = environment()["PATH"]
    return {"KUBECONFIG": str(load(name).kubeconfig), "PATH": f"{tools}:{path}"}


def load_images(name: str, archives: list[Path]) -> None:
    """Imports image archives into the node's containerd."""
    for archive in archives:
        start = time.monotonic()
        inside = enter(name, ["ctr", "-n", "k8s.io", "images", "import", str(archive.resolve())])
        done = subprocess.run(inside, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"{archive} cannot be loaded: {done.stderr.strip()}")
        say(f"loaded {archive.name} in {time.monotonic() - start:.1f} s")


def _get_parts(*, node: bool, controllers: bool) -> None:
    """Installs and builds what such a cluster consists of."""
    debian.ensure("node" if node else "api")
    if node:
        golang.build(golang.CLUSTER)
        pause_archive()
        for addon in ADDONS:
            addon.archive()
    else:
        golang.build(golang.CONTROLLERS if controllers else golang.API)


def _decide(
    name: str, listener: socket.socket, *, node: bool, controllers: bool, audit: bool
) -> Cluster:
    """Chooses the ports: free ones where the machine's loopback is shared, else etcd's own."""
    etcd, peer = (2379, 2380) if node else _free_ports(2)
    return Cluster(
        name=name,
        node=node,
        controllers=node or controllers,
        audit=audit,
        port=listener.getsockname()[1],
        etcd_port=etcd,
        peer_port=peer,
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _write_files(cluster: Cluster) -> None:
    state = cluster.state
    state.mkdir(parents=True, mode=0o700)
    cluster.logs.mkdir()
    cluster.save()
    hosts = ["IP:127.0.0.1", f"IP:{files.FIRST_SERVICE_ADDRESS}", f"IP:{files.NODE_ADDRESS}"]
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    hosts += [f"DNS:{each}" for each in (*names, "kubernetes.default.svc.cluster.local")]
    tokens = pki.make(state / "pki", node=files.NODE, hosts=hosts)
    authority = (state / "pki" / "ca.crt").read_bytes()
    for user, token in tokens.items():
        path = cluster.kubeconfig if user == "admin" else state / f"{user}.kubeconfig"
        path.write_text(files.kubeconfig(port=cluster.port, authority=authority, token=token))
        path.chmod(0o600)
    if cluster.audit:
        (state / "audit.yaml").write_text(files.audit_policy())
    plugin = debian.find("cni/bridge")
    if cluster.node and plugin is not None:
        (state / "cni").mkdir()
        (state / "cni" / "10-pods.conflist").write_text(files.pod_network())
        (state / "containerd.toml").write_text(files.containerd(state, plugins=plugin.parent))
        (state / "kubelet.yaml").write_text(files.kubelet(state, cgroup=cluster.cgroup))


def _start(cluster: Cluster, listener: socket.socket) -> None:
    """Starts the first process inside and relays its progress until the cluster works."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    net = ["--net"] if cluster.node else []
    unshare = ["unshare", *user, *net, "--mount", "--pid", "--fork", "--mount-proc"]
    descriptor = listener.fileno() if cluster.node else -1
    inside = [sys.executable, "-m", "tests.cluster.inside", cluster.name, str(descriptor)]
    with (cluster.logs / "inside.log").open("wb") as log:
        process = subprocess.Popen(
            [*unshare, "--kill-child", "--", *inside],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=[descriptor] if cluster.node else [],
        )
    try:
        processes.record(cluster.state, processes.only_child(process.pid))
    except BaseException:
        process.kill()  # `unshare` takes its child with it
        raise
    assert process.stdin is not None
    assert process.stderr is not None
    for line in process.stderr:
        if line.strip() == READY:
            process.stdin.write(KEEP)
            process.stdin.close()
            return
        print(line, end="", file=sys.stderr, flush=True)
    raise Failure(f"The cluster {cluster.name!r} did not come up; see the lines above.")
