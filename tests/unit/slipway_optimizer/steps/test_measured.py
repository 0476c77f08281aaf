"""Facts survive the process that found them, as long as they are of the same things."""

import math
from pathlib import Path

import pytest

from slipway.api.v1alpha1.validation import GateMetric
from slipway_optimizer.gates import Against, Facts, Scored
from slipway_optimizer.metrics import Paired
from slipway_optimizer.scores import Group
from slipway_optimizer.steps.measured import Measured
from slipway_optimizer.workdir import WorkDir

DIFFERENCE = Paired(delta=-0.01, noise=0.02, rows=240)
FACTS = Facts(
    name="int8",
    recipe="dynamic INT8",
    size_bytes=1000,
    score=0.9,
    paired=DIFFERENCE,
    sqnr_db=math.inf,
    scores={GateMetric.F1: Scored(0.8, DIFFERENCE)},
    classes=(Group("cat", 12, 0.9, 0.8),),
    stable=Against(Facts("stable", "what is served now"), {GateMetric.ACCURACY: DIFFERENCE}),
    failure=("TooNoisy", "SQNR 3.0 dB on 32 rows is below 8 dB"),
)


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    return WorkDir(tmp_path / "work")


def test_facts_come_back_whole_in_another_process(work: WorkDir) -> None:
    Measured(work, "inputs").keep(FACTS, rows=240, digest="sha256:aa")
    assert Measured(work, "inputs").find("int8", rows=240, digest="sha256:aa") == FACTS


@pytest.mark.parametrize(
    ("inputs", "name", "rows", "digest"),
    [
        ("other gates", "int8", 240, "sha256:aa"),
        ("inputs", "int4", 240, "sha256:aa"),
        ("inputs", "int8", 200, "sha256:aa"),
        ("inputs", "int8", 240, "sha256:bb"),
    ],
)
def test_facts_of_anything_else_are_not_taken(
    work: WorkDir, inputs: str, name: str, rows: int, digest: str
) -> None:
    Measured(work, "inputs").keep(FACTS, rows=240, digest="sha256:aa")
    assert Measured(work, inputs).find(name, rows=rows, digest=digest) is None


@pytest.mark.parametrize("left", ["", "{", '{"key": "x", "facts": 3}'])
def test_a_record_that_cannot_be_read_is_measured_anew(work: WorkDir, left: str) -> None:
    measured = Measured(work, "inputs")
    measured.keep(FACTS, rows=240, digest=None)
    (file,) = work.measured.iterdir()
    file.write_text(left)
    assert measured.find("int8", rows=240, digest=None) is None


def test_a_link_is_not_followed(work: WorkDir, tmp_path: Path) -> None:
    measured = Measured(work, "inputs")
    measured.keep(FACTS, rows=240, digest=None)
    (file,) = work.measured.iterdir()
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    assert measured.find("int8", rows=240, digest=None) is None


def test_a_slower_second_run_judges_as_many_rows_as_the_first(work: WorkDir) -> None:
    assert Measured(work, "inputs").rows(400) == 400
    assert Measured(work, "inputs").rows(300) == 400
    assert Measured(work, "others").rows(300) == 300
