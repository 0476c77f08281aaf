"""``make demo`` as a test: steps 3 to 6 of the lifecycle on real processes, without a cluster."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.mark.timeout(480)
def test_the_demo_optimises_serves_updates_under_load_and_rolls_back(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "examples.demo", "--dir", str(tmp_path / "demo")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=420,
        check=False,
    )
    told = ended.stdout
    assert ended.returncode == 0, told + ended.stderr
    assert re.search(r"\* int8-static .* Passed", told), told
    assert "REST says 'python', gRPC says 'python'" in told

    update, refusal = re.findall(r"(\d+) requests, (\d+) failed(.*); answered by: (.*)", told)
    assert int(update[0]) > 100
    assert update[1] == "0", "a request failed during the update"
    assert len(update[3].split(", ")) == 2, "both revisions answered during the canary"

    refused = re.search(r"Degraded: (\S+) was refused \(AnalysisFailed\): (.*)", told)
    assert refused is not None, told
    assert "request-success-rate" in refused[2]
    assert "outside its bound" in refused[2]
    assert set(re.findall(r"magika-[0-9a-f]{10}", refusal[2])) <= {refused[1]}, (
        "only the refused revision may have failed requests"
    )
    assert re.search(r"(magika-[0-9a-f]{10}) goes on serving: 'python'", told), told
