"""Runs the end-to-end tests: ``python -m tests.e2e [--frameworks NAMES] [PYTEST ARGUMENTS]``.

Without ``KUBECONFIG``: builds the images, starts a Kubernetes of its own, loads the images, runs
pytest inside it, and removes it at the end. ``SLIPWAY_E2E_KEEP=1`` keeps it; the next run uses it.
``--frameworks tensorflow mindspore torch openvino`` also builds their images (2, 3, 6 and 1 GB),
converts their models by Jobs, and serves a pick on OpenVINO.

With ``KUBECONFIG``: uses that cluster. Its nodes must know every image by the name that a variable
says (``SLIPWAY_E2E_IMAGE_OPERATOR``, ``_SERVER``, ``_OPTIMIZER``, ``_OPTIMIZER_CLASSIC``, ``_S3``:
versitygw), kubectl and helm must be in PATH, and Service addresses reachable from here.
"""

import argparse
import itertools
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

from tests.cluster import golang, images, lifecycle, processes
from tests.cluster.addons import Addon
from tests.cluster.places import REPOSITORY, state_of
from tests.cluster.shell import Failure, environment, say
from tests.e2e.settings import FRAMEWORKS, Images

_PRODUCT = ("operator", "server", "optimizer-classic")


def main(arguments: list[str]) -> int:
    """Returns pytest's exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    parser = argparse.ArgumentParser(prog="python -m tests.e2e", description=__doc__)
    parser.add_argument(
        "--frameworks",
        nargs="+",
        choices=FRAMEWORKS,
        default=(),
        help="whose models to convert, too",
    )
    parser.add_argument("--name", default="e2e", help="of its own cluster (%(default)s)")
    options, more = parser.parse_known_args(arguments)
    pytest = [sys.executable, "-m", "pytest", "tests/e2e", "-v", "--durations=12", *more]
    try:
        if os.environ.get("KUBECONFIG"):
            return _on_given(pytest)
        return _on_own(pytest, options.name, tuple(options.frameworks))
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _on_given(pytest: list[str]) -> int:
    if missing := Images.missing():
        raise Failure(
            f"KUBECONFIG is set, but not {', '.join(missing)}: say under which names your cluster "
            "has the images (make images builds them), or unset KUBECONFIG"
        )
    return subprocess.run(pytest, cwd=REPOSITORY, check=False).returncode


def _on_own(pytest: list[str], cluster: str, frameworks: tuple[str, ...]) -> int:
    keep = os.environ.get("SLIPWAY_E2E_KEEP") == "1"
    try:
        names = _prepare(cluster, frameworks)
        inside = lifecycle.enter(cluster, pytest)
        variables = lifecycle.variables(cluster) | names
        say(f"pytest: {' '.join(pytest[2:])}")
        return subprocess.run(
            inside, cwd=REPOSITORY, env=environment(variables), check=False
        ).returncode
    finally:
        if keep:
            say(f"kept: `python -m tests.cluster down --name {cluster}` removes it")
        else:
            lifecycle.down(cluster)
            say("the cluster is gone")


def _prepare(cluster: str, frameworks: tuple[str, ...]) -> dict[str, str]:
    """Starts the cluster and makes the images at the same time; returns their names."""
    asked = tuple(itertools.chain(*(FRAMEWORKS[name] for name in frameworks)))
    with ThreadPoolExecutor() as pool:
        starting = pool.submit(_start, cluster)
        built = images.build(_PRODUCT + asked)
        golang.build(("helm", "versitygw"))
        store = Addon("versitygw").archive()
        starting.result()
    lifecycle.load_images(cluster, [*(image.archive for image in built), store])
    operator, server, optimizer = (image.name for image in built[: len(_PRODUCT)])
    more = dict(zip(asked, (image.name for image in built[len(_PRODUCT) :]), strict=True))
    named = Images(
        operator=operator,
        server=server,
        optimizer=optimizer,
        optimizer_classic=optimizer,  # it holds all that the plain one does
        s3="localhost/versitygw:cluster",
        **{image.replace("-", "_"): name for image, name in more.items()},
    )
    return {key: getattr(named, name) for name, key in Images.variables().items()}


def _start(cluster: str) -> None:
    if processes.recorded(state_of(cluster)) is None:
        lifecycle.up(cluster, node=True, controllers=True, audit=False)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
