"""A stand-in for a container's program: does what its arguments say, with the stdlib only.

``standin.py serve|exit CODE|stubborn|family|report TEXT CODE|env``
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """``/live`` always 200, ``/ready`` 200 until ``/sicken``, ``/who`` names the pod's address."""

    protocol_version = "HTTP/1.1"
    ready = True

    def do_GET(self) -> None:
        if self.path == "/sicken":
            Handler.ready = False
        status = 503 if self.path == "/ready" and not Handler.ready else 200
        if self.path == "/crash":
            os._exit(3)
        if self.path == "/burn":
            end = time.monotonic() + 0.2
            while time.monotonic() < end:
                pass
        body = os.environ["SLIPWAY_BIND_ADDRESS"].encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        print(format % args, flush=True)


def serve() -> None:
    server = ThreadingHTTPServer((os.environ["SLIPWAY_BIND_ADDRESS"], 8080), Handler)

    def stop(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    server.serve_forever(poll_interval=0.02)


def family() -> None:
    """Starts a child that leaves the process group, and a grandchild; then waits for ever."""
    child = "import subprocess, sys, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
    print("family started", flush=True)
    time.sleep(600)


def stubborn() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    time.sleep(600)


def main() -> None:
    what = sys.argv[1]
    if what == "serve":
        serve()
    elif what == "family":
        family()
    elif what == "stubborn":
        stubborn()
    elif what == "env":
        told: dict[str, Any] = {"env": dict(os.environ), "files": {}}
        for root in (
            os.environ["SLIPWAY_STORAGE_DIR"],
            os.path.dirname(os.environ["SLIPWAY_REQUEST_FILE"]),
        ):
            for path in sorted(Path(root).rglob("*")):
                if path.is_file():
                    mode = oct(path.stat().st_mode & 0o777)
                    told["files"][str(path.relative_to(root))] = [mode, path.read_text()]
        work = Path(os.environ["SLIPWAY_WORK_DIR"]) / "seen"
        told["work"] = work.read_text() if work.exists() else None
        work.write_text("by " + os.environ["SLIPWAY_BIND_ADDRESS"])
        print(json.dumps(told), flush=True)
    elif what == "report":
        Path(os.environ["SLIPWAY_TERMINATION_LOG"]).write_text(sys.argv[2])
        sys.exit(int(sys.argv[3]))
    elif what == "exit":
        print("leaving with", sys.argv[2], flush=True)
        sys.exit(int(sys.argv[2]))


if __name__ == "__main__":
    main()
