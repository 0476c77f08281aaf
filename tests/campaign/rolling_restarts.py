"""``python -m tests.campaign.rolling_restarts``: servers are replaced under load, and none fails.

Clients with kept and with new HTTP connections and with gRPC ask through a balancer that forwards
connections, as kube-proxy does. A server gets SIGTERM, the balancer learns of it a little later,
and the next server has been ready before. No client tries again: one failed request is a failure.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path

from slipway.api.v1alpha1.predictor import Concurrency
from tests.support.balancer import Balancer, Clients
from tests.support.pods import GOOD, Pod
from tests.support.replicas import replica

_LATE_SECONDS = 0.2  # until the balancer knows
_AGE_SECONDS = 5  # of connections: some end by age, some by a drain
_SHOWN = 50  # restarts


def main() -> int:
    """Restart; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--restarts", type=int, default=1000)
    restarts = parser.parse_args().restarts
    with tempfile.TemporaryDirectory(prefix="slipway-restarts-") as folder:
        return asyncio.run(_measure(Path(folder), restarts))


async def _measure(folder: Path, restarts: int) -> int:
    concurrency = Concurrency(max_connection_age_seconds=_AGE_SECONDS)
    pod = Pod.of(GOOD, folder, concurrency=concurrency)
    http, rpc = Balancer(), Balancer()
    await http.start()
    await rpc.start()
    process, http.target, rpc.target = await replica(pod)
    clients, began = Clients(http.port, rpc.port, transparent=False), time.monotonic()
    done, ends = 0, list[int]()
    try:
        while done < restarts and not clients.failures:
            following, *ports = await replica(pod)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(_LATE_SECONDS)
            http.target, rpc.target = ports
            previous, process = process, following
            ends.append(await previous.wait())
            done += 1
            if done % _SHOWN == 0:
                print(f"{done:>5} restarts, {sum(clients.answered.values())} answers", flush=True)
        await clients.stop()
    finally:
        process.send_signal(signal.SIGTERM)
        ends.append(await process.wait())
    await http.stop()
    await rpc.stop()
    took = time.monotonic() - began
    return _tell(clients, ends, f"{done} restarts in {took:.0f} s")


def _tell(clients: Clients, ends: list[int], what: str) -> int:
    answered = ", ".join(f"{count} {kind}" for kind, count in clients.answered.items())
    print(f"{what}: {len(clients.failures)} failed requests of {answered}")
    for failure in clients.failures[:5]:
        print(failure)
    if any(ends):
        print(f"servers that did not end well: {[code for code in ends if code]}")
    return int(bool(clients.failures) or any(ends) or not all(clients.answered.values()))


if __name__ == "__main__":
    sys.exit(main())
