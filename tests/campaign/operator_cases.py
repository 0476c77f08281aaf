"""``python -m tests.campaign.operator_cases``: ONNX's own cases of operators, served.

Each case is a model of an operator with its input. The server has to answer as ONNX Runtime does:
by JSON, by binary tensors and by gRPC, through Triton's clients, alone and in company. What it
refuses by rule (empty inputs, NaN and infinity in JSON or in answers) is counted.
"""

import argparse
import contextlib
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray
from onnx.backend.test import loader
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.support.server import Server, serving

Arrays = dict[str, NDArray[Any]]
_TOGETHER = 40  # models of a server
_CLIENTS, _REQUESTS = 6, 3  # in company, and of each
_SECONDS = 60.0
_DOORS = ("json", "binary", "grpc")
_RULES = {
    r"any size from 1": "refused: an empty input",
    r"NaN or infinity": "refused: an answer with NaN or infinity",
    r"not valid JSON": "refused: NaN or infinity in JSON",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A model, an input that it takes, and ONNX Runtime's answers to it."""

    name: str
    path: Path
    feeds: Arrays
    answers: Arrays


def main() -> int:
    """Ask every case; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose name has this")
    only = parser.parse_args().only
    warnings.simplefilter("ignore")
    onnxruntime.set_default_logger_severity(4)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="slipway-cases-") as folder:
        cases = list(_cases(Path(folder), only))
        print(f"{len(cases)} cases that ONNX Runtime runs, of tensors", flush=True)
        for start in range(0, len(cases), _TOGETHER):
            counts += _asked(cases[start : start + _TOGETHER])
            print(f"{min(start + _TOGETHER, len(cases))} of {len(cases)} asked", flush=True)
    for what, count in counts.most_common():
        print(f"{count:6} {what}")
    return int(not counts or any(what.startswith("WRONG") for what in counts))


def _cases(folder: Path, only: str) -> Iterator[Case]:
    for found in loader.load_model_tests(kind="node"):
        if found.model is None or not found.data_sets or only not in found.name:
            continue
        path = folder / f"{found.name}.onnx"
        path.write_bytes(found.model.SerializeToString())
        try:
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        except Exception:  # noqa: BLE001 - the runtime's own: it has not every operator
            continue
        taken = [node.name for node in session.get_inputs()]
        names = [value.name for value in found.model.graph.input]
        given = zip(names, found.data_sets[0][0], strict=False)  # optional inputs may end the list
        feeds = {name: value for name, value in given if name in taken}
        with contextlib.suppress(Exception):
            first, second = session.run(None, feeds), session.run(None, feeds)
            names = [node.name for node in session.get_outputs()]
            answers, again = (dict(zip(names, run, strict=True)) for run in (first, second))
            if _carried((feeds, answers)) and _same(answers, again):  # else: random by purpose
                yield Case(found.name, path, feeds, answers)


def _carried(sides: Iterable[Arrays]) -> bool:
    """Whether all are tensors of a datatype that the protocol has."""
    values = [value for side in sides for value in side.values()]
    return all(isinstance(value, np.ndarray) and value.dtype.kind in "fiubOSU" for value in values)


def _asked(cases: Sequence[Case]) -> Counter[str]:
    counts: Counter[str] = Counter()
    with serving(models={case.name: case.path for case in cases}) as server:
        for case in cases:
            for door in _DOORS:
                counts[_outcome(server, case, door)] += 1
            with ThreadPoolExecutor(_CLIENTS) as pool:
                asked = [pool.submit(_outcome, server, case, "binary") for _ in range(_CLIENTS)]
                together = {future.result() for future in asked}
            if len(together) > 1:
                counts[f"WRONG in company: {case.name}"] += 1
    return counts


def _outcome(server: Server, case: Case, door: str) -> str:
    """What comes of ``_REQUESTS`` requests on a connection."""
    try:
        same = all(_same(case.answers, answers) for answers in _answers(server, case, door))
    except InferenceServerException as error:
        for pattern, rule in _RULES.items():
            if re.search(pattern, str(error)):
                return rule
        return f"WRONG {case.name}, {door}: {error}"
    except ValueError as error:  # of a client: it could not read the answer
        return f"WRONG {case.name}, {door}: unreadable, {error}"
    return "same answers" if same else f"WRONG {case.name}, {door}: other answers"


def _answers(server: Server, case: Case, door: str) -> Iterator[Arrays]:
    if door == "grpc":
        with tritonclient.grpc.InferenceServerClient(f"127.0.0.1:{server.grpc}") as client:
            values = []
            for name, array in case.feeds.items():
                values.append(_value(tritonclient.grpc, name, array))
                values[-1].set_data_from_numpy(_sent(array))
            for _ in range(_REQUESTS):
                yield _read(client.infer(case.name, values, client_timeout=_SECONDS), case)
        return
    binary = door == "binary"
    url = f"127.0.0.1:{server.http}"
    with tritonclient.http.InferenceServerClient(url, network_timeout=_SECONDS) as client:
        values = []
        for name, array in case.feeds.items():
            values.append(_value(tritonclient.http, name, array))
            values[-1].set_data_from_numpy(_sent(array), binary_data=binary)
        wanted = [
            tritonclient.http.InferRequestedOutput(name, binary_data=binary)
            for name in case.answers
        ]
        for _ in range(_REQUESTS):
            yield _read(client.infer(case.name, values, outputs=wanted), case)


def _value(client: Any, name: str, array: NDArray[Any]) -> Any:
    datatype = np_to_triton_dtype(_sent(array).dtype)
    return client.InferInput(name, list(array.shape), datatype)


def _sent(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.object_) if array.dtype.kind in "OSU" else array


def _read(result: Any, case: Case) -> Arrays:
    return {name: result.as_numpy(name) for name in case.answers}


def _same(expected: Arrays, found: Arrays) -> bool:
    return all(_equal(array, found[name]) for name, array in expected.items())


def _equal(expected: NDArray[Any], found: NDArray[Any] | None) -> bool:
    if found is None or found.shape != expected.shape:
        return False
    if expected.dtype.kind in "OSU":
        return [_text(value) for value in expected.flat] == [_text(value) for value in found.flat]
    if expected.dtype.kind != "f":
        return np.array_equal(expected, found.astype(expected.dtype))
    return np.allclose(expected, found, rtol=1e-4, atol=1e-5, equal_nan=True)


def _text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


if __name__ == "__main__":
    sys.exit(main())
