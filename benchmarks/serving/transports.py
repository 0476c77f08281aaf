"""Our HTTP/2 against grpc.aio under the same door: ``python -m benchmarks.serving.transports``.

Both servers run and the loads alternate; the last two columns are against grpc.aio. On a machine
that others use, too, read the last one: CPU time of the server for one request needs no free core
to be right.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.serving import models
from benchmarks.serving.bodies import body
from benchmarks.serving.load import Load, Sample, measure, median, missing_tools
from benchmarks.serving.servers import Serving, ours
from slipway.contract import Env

TRANSPORTS: Final = ("own", "grpc.aio")
CASES: Final = (("tiny", 1), ("tiny", 32), ("image", 8))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3, help="of each load")
    parser.add_argument("--rounds", type=int, default=3, help="the median of these is printed")
    options = parser.parse_args()
    if "nghttp2-client" in missing_tools():
        raise SystemExit("missing tool: apt-get install nghttp2-client")
    found: dict[tuple[str, str, int], list[Sample]] = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = models.write(Path(folder), sorted({model for model, _ in CASES}))
        with _serving("own", paths) as own, _serving("grpc.aio", paths) as other:
            servers = dict(zip(TRANSPORTS, (own, other), strict=True))
            for _ in range(options.rounds):
                for model, connections in CASES:
                    request = body("grpc", model, models.feeds(model))
                    for name, server in servers.items():
                        load = Load("grpc", server.grpc_port, model, request, connections)
                        sample = measure(load, server.running, seconds=options.seconds)
                        found.setdefault((name, model, connections), []).append(sample)
    print("model  conns  transport  requests/s  p50 us  p99 us  failed  cpu us   rate    cpu")
    for model, connections in CASES:
        base = median(found["grpc.aio", model, connections])
        for name in TRANSPORTS:
            one = median(found[name, model, connections])
            print(
                f"{model:6} {connections:5}  {name:9}  {one.rate:10.0f}  {one.p50:6.0f}  "
                f"{one.p99:6.0f}  {one.failed:6}  {one.cpu:6.1f}  {one.rate / base.rate:4.1f}x  "
                f"{one.cpu / base.cpu:4.2f}x"
            )


@contextmanager
def _serving(transport: str, paths: dict[str, Path]) -> Iterator[Serving]:
    os.environ[Env.GRPC_TRANSPORT] = transport
    try:
        with ours(paths) as serving:
            yield serving
    finally:
        os.environ.pop(Env.GRPC_TRANSPORT, None)


if __name__ == "__main__":
    main()
