"""Local mode: time to ready, and from apply to Healthy for a small model. Prints one table."""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from examples.demo.__main__ import MAGIKA, prepare
from slipway.api.v1alpha1.resource import parse_status
from slipway_cli.commands.local import read
from slipway_local.session import local_session

_DEADLINE_SECONDS = 300


async def measure(folder: Path) -> None:
    """Start, apply, wait."""
    began = time.monotonic()
    async with local_session(folder) as session:
        print(f"{'slipway local: ready':<45} {time.monotonic() - began:6.2f} s   <= 2 s")
        applied = time.monotonic()
        await session.apply(await asyncio.to_thread(read, MAGIKA / "v1.yaml"))
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while True:
                status = parse_status(await session.resource("default", "magika"))
                if status.phase == "Healthy":
                    break
                await asyncio.sleep(0.05)
        took = time.monotonic() - applied
        print(f"{'slipway local: apply -> Healthy (magika)':<45} {took:6.2f} s   <= 30 s")
        for phase in status.phases:
            print(f"  {phase.phase:<12} {phase.seconds if phase.seconds is not None else '-'} s")


def main() -> None:
    """Parse and run."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    prepare()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder)))


if __name__ == "__main__":
    main()
