"""Takes torch and CUDA out of a file of locked requirements; prints torch's requirement.

Usage: without-cuda.py FILE. The file is rewritten. Needs the standard library only.
"""

import re
import sys
from pathlib import Path

_CUDA = re.compile(r"(nvidia-|cuda-|triton)")


def main() -> None:
    """Rewrite the file that is named."""
    path = Path(sys.argv[1])
    kept, torch = without_cuda(path.read_text())
    path.write_text(kept)
    sys.stdout.write(f"{torch}\n")


def without_cuda(text: str) -> tuple[str, str]:
    """Requirements that are left, and ``torch==...``."""
    kept, torch = [], ""
    for block in re.split(r"\n(?=\S)", text):
        if block.startswith("torch=="):
            torch = block.split()[0]
        elif not _CUDA.match(block):
            kept.append(block)
    if not torch:
        raise SystemExit("the file locks no torch")
    return "\n".join(kept).rstrip("\n") + "\n", torch


if __name__ == "__main__":
    main()
