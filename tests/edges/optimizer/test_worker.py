"""A child that rewrites models: its refusals are told, its end takes nothing with it."""

import asyncio
import os
import pickle
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from slipway.api.v1alpha1.model import ModelFormatName
from slipway.api.v1alpha1.optimization import QuantizationMode
from slipway_optimizer.arrays import save_npz
from slipway_optimizer.convert.order import ConvertOrder
from slipway_optimizer.failures import Refused
from slipway_optimizer.recipe import Recipe
from slipway_optimizer.worker import WorkerTask, run_isolated
from tests.support.small_models import classifier, rows, save
from tests.support.waiting import until


def task(folder: Path, **changes: str) -> WorkerTask:
    save(folder / "m.onnx", classifier())
    save_npz(folder / "rows.npz", {"x": rows(8)["x"]})
    paths = {"source": "m.onnx", "target": "out.onnx", "feeds": "rows.npz"} | changes
    return WorkerTask(
        action="quantize",
        source=str(folder / paths["source"]),
        target=str(folder / paths["target"]),
        feeds=str(folder / paths["feeds"]),
        recipe=Recipe(name="int8", quantization=QuantizationMode.STATIC),
    )


def run(of: WorkerTask, folder: Path, *, timeout: float = 60.0) -> None:
    run_isolated(of, scratch=folder / "scratch", threads=1, timeout=timeout)


def test_a_variant_is_built_and_nothing_else_is_left(tmp_path: Path) -> None:
    before = set(os.listdir())
    run(task(tmp_path), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "m.onnx",
        "out.onnx",
        "rows.npz",
        "scratch",
    }
    assert list((tmp_path / "scratch").iterdir()) == []
    assert set(os.listdir()) == before


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        pytest.param({"feeds": "other.npz"}, "BuildFailed", "the quantiser failed: ", id="rows"),
        pytest.param(
            {"source": "rows.npz"}, "BuildFailed", "the quantiser failed: ", id="no model"
        ),
    ],
)
def test_what_the_quantiser_raises_becomes_a_reason(
    tmp_path: Path, changes: dict[str, str], reason: str, words: str
) -> None:
    save_npz(tmp_path / "other.npz", {"y": np.zeros(3)})
    with pytest.raises(Refused) as caught:
        run(task(tmp_path, **changes), tmp_path)
    assert caught.value.reason == reason
    assert words in str(caught.value)


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"quantize took more than 0\.01 s") as caught:
        run(task(tmp_path), tmp_path, timeout=0.01)
    assert caught.value.reason == "BuildTimeout"


class Crashing:
    """Ends who opens it, as a bug of a native library does."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return signal.raise_signal, (self.number,)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGFPE, "SIGFPE: a library crashed on it; give rows that the model knows by "),
        (signal.SIGKILL, "SIGKILL: give the Job more memory"),
        (signal.SIGUSR1, "SIGUSR1$"),
    ],
)
def test_a_crash_of_the_child_is_told_with_what_to_try(
    number: signal.Signals, words: str, tmp_path: Path
) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(Crashing(number)))
    order = ConvertOrder(
        model_format=ModelFormatName.SKLEARN,
        source=tmp_path / "m.pkl",
        target=tmp_path / "m.onnx",
        allow_pickle=True,
    )
    of = WorkerTask(action="convert", source="", target="", order=order)
    with pytest.raises(Refused, match=f"^convert was ended by {words}") as caught:
        run(of, tmp_path)
    assert caught.value.reason == "BuildCrashed"


async def test_nothing_outlives_a_step_that_is_killed(tmp_path: Path) -> None:
    """A fifo in the model's place keeps the child reading for ever."""
    of = task(tmp_path)
    (tmp_path / "m.onnx").unlink()
    os.mkfifo(tmp_path / "m.onnx")
    script = (
        "import sys; from pathlib import Path; from slipway_optimizer import worker as w\n"
        "w.run_isolated(w.WorkerTask.model_validate_json(sys.argv[1]), "
        f"scratch=Path({str(tmp_path / 'scratch')!r}), threads=1, timeout=60)"
    )
    command = [sys.executable, "-c", script, of.model_dump_json()]
    parent = await asyncio.create_subprocess_exec(*command)
    try:
        child = await until(lambda: _child_that_reads(parent.pid))
    finally:
        parent.send_signal(signal.SIGKILL)
        await parent.wait()
    await until(lambda: not Path(f"/proc/{child}").exists())


def _child_that_reads(parent: int) -> int | None:
    """The child's pid, once it has come as far as the quantiser's libraries."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    if children and "onnxruntime" in Path(f"/proc/{children[0]}/maps").read_text():
        return int(children[0])
    return None
