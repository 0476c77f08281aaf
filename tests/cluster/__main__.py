"""The commands: ``python -m tests.cluster COMMAND``."""

import argparse
import json
import shlex
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from tests.cluster import base_image, debian, golang, images, lifecycle
from tests.cluster.shell import Failure, say

_BUILDS = {
    "all": golang.EVERYTHING,
    "api": golang.API,
    "helm": golang.HELM,
    "http2": golang.HTTP2,
    "s3": golang.S3,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    build = commands.add_parser("build", help="build the programs that the cache does not hold")
    build.add_argument("what", nargs="?", choices=_BUILDS, default="all")
    build.add_argument("--print", action="store_true", help="print where each program lies")

    commands.add_parser("base-image", help="make the base image of the images; print its name")
    image = commands.add_parser("images", help="build the product's images; print their names")
    image.add_argument("images", nargs="*", metavar="IMAGE", help=", ".join(images.IMAGES))
    image.add_argument("--json", action="store_true", help="print names, archives and sizes")
    image.add_argument("--load", action="store_true", help="load them into the cluster")

    up = commands.add_parser("up", help="start a cluster and wait until it works")
    up.add_argument("--api-only", action="store_true", help="etcd and the API server, no root")
    up.add_argument("--controllers", action="store_true", help="with --api-only: controllers too")
    up.add_argument("--audit", action="store_true", help="log every API request")
    down = commands.add_parser("down", help="end a cluster and leave nothing")
    env = commands.add_parser("env", help="print shell lines that make kubectl use it")
    execute = commands.add_parser("exec", help="run a program inside: exec -- CMD...")
    load = commands.add_parser("load", help="import image archives")
    load.add_argument("archives", nargs="+", type=Path)
    for command in (up, down, env, execute, load, image):
        command.add_argument("--name", default="slipway", help="which cluster (%(default)s)")
    execute.add_argument("argv", nargs="+", metavar="CMD")
    return parser


def _build(options: argparse.Namespace) -> None:
    if options.what == "all":
        debian.ensure("node")
    golang.build(_BUILDS[options.what])
    if options.print:
        for name in _BUILDS[options.what]:
            print(golang.program(name))


def _images(options: argparse.Namespace) -> None:
    unknown = set(options.images) - set(images.IMAGES)
    if unknown:
        raise Failure(f"No such image: {', '.join(sorted(unknown))}.")
    built = images.build(tuple(options.images) or images.IMAGES)
    for image in built:
        say(f"{image.name}: {image.size / 1e6:.0f} MB, {image.above_base / 1e6:.0f} MB above base")
    if options.json:
        print(json.dumps([asdict(image) for image in built], default=str, indent=2))
    else:
        print("\n".join(image.name for image in built))
    if options.load:
        lifecycle.load_images(options.name, [image.archive for image in built])


def _print_variables(name: str) -> None:
    for variable, value in lifecycle.variables(name).items():
        print(f"export {variable}={shlex.quote(value)}")


def _up(options: argparse.Namespace) -> None:
    lifecycle.up(
        options.name,
        node=not options.api_only,
        controllers=options.controllers,
        audit=options.audit,
    )
    which = "" if options.name == "slipway" else f" --name {options.name}"
    print(f'kubectl here:     eval "$(python -m tests.cluster env{which})"')
    print(f"anything inside:  python -m tests.cluster exec{which} -- CMD...")


def _dispatch(options: argparse.Namespace) -> None:
    command: str = options.command
    match command:
        case "build":
            _build(options)
        case "base-image":
            print(base_image.ensure())
        case "images":
            _images(options)
        case "up":
            _up(options)
        case "down":
            lifecycle.down(options.name)
            say("nothing is left of it")
        case "env":
            _print_variables(options.name)
        case "exec":
            lifecycle.execute(options.name, options.argv)
        case "load":
            lifecycle.load_images(options.name, options.archives)
        case _:
            raise AssertionError(command)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Runs one command; returns its exit code."""
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, _interrupt)  # so that an `up` that is stopped cleans up, too
    try:
        _dispatch(options)
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
