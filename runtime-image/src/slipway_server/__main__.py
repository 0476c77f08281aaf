"""``python -m slipway_server``: serve a model, or replay stored requests to two revisions."""

import time

_STARTED = time.monotonic()

import gc  # noqa: E402

gc.disable()  # imports leave little garbage: see lifecycle, which enables it

import argparse  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections.abc import Mapping  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402

from slipway.contract import TERMINATION_LOG, Env, ExitCode, Port  # noqa: E402
from slipway.errors import Invalid, SlipwayError, Transient  # noqa: E402

_LOG = logging.getLogger("slipway_server")
_COMMANDS = ("serve", "replay")
_VARIABLES = {  # options that say the same as a variable, and win
    "grpc_transport": Env.GRPC_TRANSPORT,
    "tls_certificate": Env.TLS_CERTIFICATE,
    "tls_key": Env.TLS_KEY,
    "token_file": Env.TOKEN_FILE,
    "access_log": Env.ACCESS_LOG,
    "spans": Env.SPANS,
}
_DESCRIPTION = """\
Serve ONNX models: Open Inference Protocol v2 (REST and gRPC), KServe V1, TensorFlow Serving,
TorchServe and MindSpore Serving REST, Prometheus metrics. docs/serving.md has an example of each.

Without arguments the model is the one that the pod's request file names (SLIPWAY_REQUEST_FILE).
By hand: slipway serve ./artifact --name iris
Several: slipway serve --model a=./first --model b=./second
"""


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the process's exit code (``slipway.contract.ExitCode``)."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or (given[0] not in _COMMANDS and given[0] not in ("-h", "--help")):
        given = ["serve", *given]
    options = _parser().parse_args(given)
    env = dict(os.environ)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy only copies here; its pool is waste
    from slipway_server import logs

    logs.set_up(as_json=env.get(Env.LOG_FORMAT) == "json")
    try:
        return _replay(env) if options.command == "replay" else _serve(options, env)
    except SlipwayError as error:
        return _fail("SettingsInvalid", error, env)
    except KeyboardInterrupt:
        return ExitCode.OK
    except Exception:  # noqa: BLE001 - top of the process
        _LOG.exception("this is a bug")
        return ExitCode.BUG


def _serve(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    import uvloop

    from slipway_server.lifecycle import StartFailed, serve
    from slipway_server.settings import Listen, local_settings, pod_settings

    given = {variable: getattr(options, name) for name, variable in _VARIABLES.items()}
    env = {**env, **{variable: value for variable, value in given.items() if value is not None}}
    targets = list(options.model)
    if options.target is not None:
        targets.append((options.name, options.target))
    if targets:
        listen = Listen(options.host or None, options.http_port, options.grpc_port)
        settings = local_settings(targets, listen=listen, env=env)
        settings = replace(settings, threads=options.threads)
    else:
        settings = pod_settings(env)
    try:
        uvloop.run(serve(settings, _STARTED))
    except StartFailed as failed:
        return _fail(failed.reason, failed.error, env)
    return ExitCode.OK


def _replay(env: Mapping[str, str]) -> int:
    from slipway.tasks import format_report
    from slipway_server.replay import run

    report = run(env)
    _terminate(format_report(report), env)
    print(report.message)
    return ExitCode.OK


def _fail(reason: str, error: SlipwayError, env: Mapping[str, str]) -> int:
    from slipway.tasks import StepFailure, format_report

    transient = isinstance(error, Transient)
    _LOG.error("%s: %s", reason, error)
    failure = StepFailure(reason=reason, message=str(error), transient=transient)
    _terminate(format_report(failure), env)
    if transient:
        return ExitCode.TRANSIENT
    return ExitCode.INVALID if isinstance(error, Invalid) else ExitCode.BUG


def _terminate(report: str, env: Mapping[str, str]) -> None:
    """Leave the termination message where the kubelet reads it; elsewhere nobody does."""
    path = Path(env.get(Env.TERMINATION_LOG, TERMINATION_LOG))
    if Env.TERMINATION_LOG not in env and not path.is_file():
        return
    try:
        path.write_text(report)
    except OSError as error:
        _LOG.warning("no termination message: %s", error.strerror)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipway",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve a model (the default)")
    serve.add_argument(
        "target",
        nargs="?",
        type=Path,
        metavar="DIR|MODEL.onnx",
        help="a folder that slipway optimize wrote, or a bare model file (unverified); absent: "
        "what the pod's request file says",
    )
    serve.add_argument(
        "--model",
        action="append",
        default=[],
        type=_named,
        metavar="NAME=DIR|MODEL.onnx",
        help="a model by name; give it several times to serve several in one process",
    )
    serve.add_argument("--name", help="name of the model in every protocol (default: the file's)")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; '' is every one")
    serve.add_argument(
        "--http-port", type=_port, default=int(Port.HTTP), help="default %(default)s"
    )
    serve.add_argument(
        "--grpc-port", type=_port, default=int(Port.GRPC), help="default %(default)s"
    )
    serve.add_argument(
        "--threads",
        type=_count,
        metavar="N",
        help="of one run of a model (default: learnt from the CPU limit)",
    )
    serve.add_argument(
        "--grpc-transport",
        choices=("own", "grpc.aio"),
        help="who speaks HTTP/2 (default: SLIPWAY_GRPC_TRANSPORT, else own)",
    )
    serve.add_argument("--tls-certificate", metavar="FILE", help="PEM; TLS on both ports")
    serve.add_argument("--tls-key", metavar="FILE", help="PEM, without a password")
    serve.add_argument("--token-file", metavar="FILE", help="whose bearer token clients must show")
    serve.add_argument(
        "--access-log", choices=("json", "off"), help="a line on stdout for every request"
    )
    serve.add_argument(
        "--spans", choices=("otlp", "off"), help="OpenTelemetry; needs the extra otel"
    )
    commands.add_parser(
        "replay", help="send an artifact's stored feeds to two revisions and compare the answers"
    )
    return parser


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"'{text}' names no model: use NAME=DIR")
    return name, Path(path)


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of threads: use 1 to 1024")
    return int(text)


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"{value} is no port: use 0 (any free one) to 65535")
    return value


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit: a daemon thread that is inside a download or a model run would be torn down with
    # the interpreter under it.
    os._exit(code)
