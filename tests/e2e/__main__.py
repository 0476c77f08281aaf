"""Runs the end-to-end tests: ``python -m tests.e2e [--frameworks NAMES] [PYTEST ARGUMENTS]``.

Without ``KUBECONFIG``: builds the images, starts a Kubernetes of its own, loads the images, runs
pytest inside it, and removes it at the end. ``SLIPWAY_E2E_KEEP=1`` keeps it; the next run uses it.
``--frameworks tensorflow mindspore torch`` also builds their images (2, 3 and 5 GB) and converts
their models by Jobs.

With ``KUBECONFIG``: uses that cluster. Its nodes must know every image by the name that a variable
says (``SLIPWAY_E2E_IMAGE_OPERATOR``, ``_SERVER``, ``_OPTIMIZER``, ``_OPTIMIZER_CLASSIC``, ``_S3``:
versitygw), kubectl and helm must be in PATH, and Service addresses reachable from here.
"""

import argparse
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

NAME = "e2e"
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
    options, more = parser.parse_known_args(arguments)
    pytest = [sys.executable, "-m", "pytest", "tests/e2e", "-v", "--durations=12", *more]
    try:
        if os.environ.get("KUBECONFIG"):
            return _on_given(pytest)
        return _on_own(pytest, tuple(options.frameworks))
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


def _on_own(pytest: list[str], frameworks: tuple[str, ...]) -> int:
    keep = os.environ.get("SLIPWAY_E2E_KEEP") == "1"
    try:
        names = _prepare(frameworks)
        inside = lifecycle.enter(NAME, pytest)
        variables = lifecycle.variables(NAME) | names
        say(f"pytest: {' '.join(pytest[2:])}")
        return subprocess.run(
            inside, cwd=REPOSITORY, env=environment(variables), check=False
        ).returncode
    finally:
        if keep:
            say("kept: `python -m tests.cluster down --name e2e` removes it")
        else:
            lifecycle.down(NAME)
            say("the cluster is gone")


def _prepare(frameworks: tuple[str, ...]) -> dict[str, str]:
    """Starts the cluster and makes the images at the same time; returns their names."""
    with ThreadPoolExecutor() as pool:
        starting = pool.submit(_start)
        built = images.build(_PRODUCT + tuple(f"optimizer-{name}" for name in frameworks))
        golang.build(("helm", "versitygw"))
        store = Addon("versitygw").archive()
        starting.result()
    lifecycle.load_images(NAME, [*(image.archive for image in built), store])
    operator, server, optimizer = (image.name for image in built[: len(_PRODUCT)])
    more = dict(zip(frameworks, (image.name for image in built[len(_PRODUCT) :]), strict=True))
    named = Images(
        operator=operator,
        server=server,
        optimizer=optimizer,
        optimizer_classic=optimizer,  # it holds all that the plain one does
        s3="localhost/versitygw:cluster",
        **{f"optimizer_{framework}": name for framework, name in more.items()},
    )
    return {key: getattr(named, name) for name, key in Images.variables().items()}


def _start() -> None:
    if processes.recorded(state_of(NAME)) is None:
        lifecycle.up(NAME, node=True, controllers=True, audit=False)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
