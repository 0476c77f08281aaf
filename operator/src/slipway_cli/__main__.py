"""``slipway``: command line, exit codes, and the one place where errors become sentences."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any, NoReturn

from slipway.contract import ExitCode
from slipway.errors import Invalid, SlipwayError
from slipway_cli.commands import acts, predict, programs, show
from slipway_cli.output import Output
from slipway_cli.session import Session, connect

ClusterCommand = Callable[[Session, argparse.Namespace], Awaitable[int]]

_EPILOG = """\
exit codes: 0 done; 1 what was asked for is not so (refused, failed); 64 wrong usage;
65 wrong input; 70 a bug; 75 try again later; 124 not within --timeout; 130 interrupted.

examples:
  slipway local run -f examples/magika/v1.yaml     try it here, without a cluster
  slipway get -A                                   as kubectl get mdep, with the measured weight
  slipway describe fraud                           the story of one deployment, with its numbers
  slipway watch fraud --timeout 600 && echo ok     wait in a script
  slipway predict fraud --data request.json        through the API server, no port-forward
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        if arguments[:1] and arguments[0] in programs.PROGRAMS:
            return programs.hand_over(arguments[0], arguments[1:])
        args = parser().parse_args(arguments)
        return asyncio.run(_run(args))
    except SlipwayError as error:
        sys.stderr.write(f"slipway: {error}\n")
        return int(ExitCode.INVALID if isinstance(error, Invalid) else ExitCode.TRANSIENT)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


async def _run(args: argparse.Namespace) -> int:
    output = Output(structured=getattr(args, "output", None))
    if args.command == "local":
        from slipway_cli.commands import local

        return await local.run(output, args)
    if args.command == "predict" and args.url:
        return await predict.to_url(output, args)
    handler: ClusterCommand = args.handler
    async with connect(
        kubeconfig=args.kubeconfig,
        context=args.context,
        namespace=args.namespace,
        output=output,
    ) as session:
        return await handler(session, args)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    root = _Parser(
        prog="slipway",
        description="From a trained model to gated production, by one resource.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=_EPILOG,
    )
    root.add_argument("--version", action="version", version=version("slipway-operator"))
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _reading(commands)
    _asking(commands)
    _local(commands)
    for name, text in (
        ("serve", "serve an artifact folder or a model.onnx here"),
        ("optimize", "optimise a model here: no cluster"),
        ("inspect", "what a model file is, and the resource for it"),
        ("dataset", "make and check data sets: from-csv, from-images, check"),
    ):
        commands.add_parser(name, help=text, add_help=False)
    return root


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(int(ExitCode.USAGE), f"{self.prog}: {message}\n")


def _reading(commands: Any) -> None:
    get = _cluster_command(commands, "get", "list deployments, or show one", show.get)
    get.add_argument("name", nargs="?")
    get.add_argument("-A", "--all-namespaces", action="store_true")
    describe = _cluster_command(
        commands, "describe", "the story of one, with numbers", show.describe
    )
    describe.add_argument("name")
    watch = _cluster_command(commands, "watch", "print changes until it is settled", show.watch)
    watch.add_argument("name")
    watch.add_argument("--timeout", type=float, metavar="SECONDS", help="default: for ever")
    logs = _cluster_command(commands, "logs", "logs of server or optimizer pods", show.logs)
    logs.add_argument("name")
    logs.add_argument("--optimizer", action="store_true", help="of the optimization Job")
    logs.add_argument("--revision", help="default: the canary's, else stable's")
    logs.add_argument("--tail", type=int, default=200, metavar="LINES")
    ask = _cluster_command(commands, "predict", "send one request", predict.through_cluster)
    ask.add_argument("name")
    ask.add_argument("--data", required=True, help="a v2 request: a file, - or the JSON itself")
    ask.add_argument("--url", help="base URL of a server; default: through the cluster's API")


def _asking(commands: Any) -> None:
    for name, text in (
        ("promote", "go on with a paused rollout, or skip the rest of a step"),
        ("abort", "end a rollout; the revision counts as refused"),
        ("retry", "try a refused revision again"),
    ):
        _cluster_command(commands, name, text, acts.act).add_argument("name")


def _cluster_command(commands: Any, name: str, text: str, handler: ClusterCommand) -> Any:
    found = commands.add_parser(name, help=text, description=text)
    found.set_defaults(handler=handler)
    found.add_argument("-n", "--namespace", help="default: that of the current context")
    found.add_argument("--kubeconfig", help="default: $KUBECONFIG or ~/.kube/config")
    found.add_argument("--context", help="default: the current one")
    found.add_argument("-o", "--output", choices=("json", "yaml"), help="for programs")
    return found


def _local(commands: Any) -> None:
    local = commands.add_parser(
        "local",
        help="run it all here: no cluster, no container engine",
        description="The same operator over a cluster inside this process.",
    )
    actions = local.add_subparsers(dest="action", required=True, metavar="ACTION")
    run = actions.add_parser("run", help="apply files and run until stopped")
    run.add_argument("-f", "--file", action="append", required=True, metavar="FILE")
    run.add_argument("--watch", action="store_true", help="apply files again when they change")
    run.add_argument("--until-settled", action="store_true", help="end when all are settled")
    run.add_argument(
        "--dir", metavar="FOLDER", help="artifacts and logs; default: .slipway in this folder"
    )


if __name__ == "__main__":
    sys.exit(main())
