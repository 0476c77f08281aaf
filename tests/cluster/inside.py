"""The first process inside: it starts every component, waits until the cluster works, stays.

It is process 1 of the cluster's own process namespace. When it ends, however it ends, the kernel
ends every component and every container, and drops their mounts and networks with them.

While it starts the cluster, its standard error carries progress to `up`, and its standard input
says whether `up` is still there: if `up` dies first, so does the cluster. Then it goes on alone,
and writes to its log.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.cluster import components, node
from tests.cluster.addons import ADDONS, pause_archive
from tests.cluster.files import CONTAINERD_SOCKET, DNS_ADDRESS, NODE
from tests.cluster.golang import program
from tests.cluster.places import HERE, Cluster, load
from tests.cluster.shell import Failure, environment, run, say, succeeds, tail

READY = "READY"
KEEP = "KEEP\n"


class Supervisor:
    """Starts components, notices when one ends, and starts it again once the cluster is up."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._commands: components.Commands = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, commands: components.Commands, *, descriptor: int | None = None) -> None:
        """Starts components; `descriptor` is a file of ours that they may use."""
        for name, command in commands.items():
            self._commands[name] = command
            with (self._cluster.logs / f"{name}.log").open("ab") as log:
                self._running[name] = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment(),
                    pass_fds=[] if descriptor is None else [descriptor],
                )

    def wait(self, what: str, holds: Callable[[], bool], seconds: float = 90) -> None:
        """Waits until something holds.

        Raises:
            Failure: It took too long, or a component ended meanwhile.
        """
        start = time.monotonic()
        while not holds():
            self._all_run()
            if time.monotonic() - start > seconds:
                logs = "\n".join(self._end_of_log(name) for name in self._running)
                raise Failure(f"After {seconds:.0f} s: still not {what}.\n{logs}")
            time.sleep(0.1)
        say(what)

    def stay(self) -> None:
        """Collects what ends, for ever, and starts components again; a chaos test ends them."""
        names = {process.pid: name for name, process in self._running.items()}
        while True:
            ended, status = os.waitpid(-1, 0)
            name = names.pop(ended, None)  # other children are orphans that process 1 inherits
            if name is None:
                continue
            say(f"{name} ended with {os.waitstatus_to_exitcode(status)}: starting it again")
            time.sleep(0.2)
            self.start({name: self._commands[name]})
            names[self._running[name].pid] = name

    def _all_run(self) -> None:
        for name, process in self._running.items():
            if process.poll() is not None:
                code = process.returncode
                raise Failure(f"{name} ended with {code}.\n{self._end_of_log(name)}")

    def _end_of_log(self, name: str) -> str:
        return f"--- {name}:\n{tail(self._cluster.logs / f'{name}.log', 6)}"


def _kubectl(cluster: Cluster, *arguments: str) -> list[str]:
    return [str(program("kubectl")), f"--kubeconfig={cluster.kubeconfig}", *arguments]


def _start(cluster: Cluster, supervisor: Supervisor) -> None:
    """Starts what every cluster has."""
    supervisor.start(components.api(cluster))
    if cluster.node:
        supervisor.start(components.runtime(cluster))
    ready = _kubectl(cluster, "get", "--raw", "/readyz")
    supervisor.wait("the API server answers", lambda: succeeds(ready))
    if cluster.controllers:
        supervisor.start(components.controllers(cluster))


def _start_node(cluster: Cluster, supervisor: Supervisor) -> None:
    """Starts what only a cluster with a node has, and waits until pods, names and metrics work."""
    socket = Path(CONTAINERD_SOCKET)
    supervisor.wait("containerd answers", lambda: socket.exists() and succeeds(["ctr", "version"]))
    for archive in (pause_archive(), *(addon.archive() for addon in ADDONS)):
        run(["ctr", "-n", "k8s.io", "images", "import", archive])
    supervisor.start(components.node(cluster))
    for addon in ADDONS:
        run(_kubectl(cluster, "apply", "-f", str(HERE / "manifests" / f"{addon.name}.yaml")))
    condition = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    get_node = _kubectl(cluster, "get", "node", NODE, "--ignore-not-found", "-o", condition)
    supervisor.wait("the node is ready", lambda: run(get_node) == "True")
    lookup = ["getent", "hosts", "kubernetes.default.svc.cluster.local"]
    supervisor.wait(f"DNS answers on {DNS_ADDRESS}", lambda: succeeds(lookup))
    top = _kubectl(cluster, "top", "node")
    supervisor.wait("metrics are there", lambda: succeeds(top))


def _watch_parent() -> threading.Thread:
    """Ends the cluster if `up` is gone before it said to keep it."""

    def watch() -> None:
        if sys.stdin.readline() != KEEP:
            os._exit(1)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def main() -> None:
    """Runs the cluster of the given name; `up` starts this in new namespaces."""
    cluster, listener = load(sys.argv[1]), int(sys.argv[2])
    kept = _watch_parent()
    supervisor = Supervisor(cluster)
    try:
        if cluster.node:
            node.prepare(cluster)
            relay = [sys.executable, "-m", "tests.cluster.relay", str(listener), str(cluster.port)]
            supervisor.start({"relay": relay}, descriptor=listener)
        _start(cluster, supervisor)
        if cluster.node:
            _start_node(cluster, supervisor)
    except Failure as failure:
        say(str(failure))
        os._exit(1)
    print(READY, file=sys.stderr, flush=True)
    kept.join()
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    supervisor.stay()


if __name__ == "__main__":
    main()
