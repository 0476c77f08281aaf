"""``optimize``: the Job's four steps in one process, for laptops."""

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

from pydantic import ValidationError

from slipway.api.v1alpha1.model import ModelFormatName
from slipway.api.v1alpha1.optimization import Objective, Optimization, OptimizationMode
from slipway.api.v1alpha1.validation import Prices, Task, Validation, ValidationDataset
from slipway.artifacts import layout
from slipway.artifacts.manifest import ArtifactManifest, Verdict
from slipway.artifacts.table import candidate_cells, format_table
from slipway.contract import ExitCode, Step
from slipway.errors import Invalid
from slipway.tasks import (
    JobReport,
    LoaderRequest,
    OptimizationRequest,
    SourceRequest,
    StableRequest,
)
from slipway_optimizer.convert.kinds import FORMAT_OF, sniff
from slipway_optimizer.hardware import usable_threads
from slipway_optimizer.progress import Progress
from slipway_optimizer.settings import Settings, storage_from_env
from slipway_optimizer.wishes import (
    as_options,
    parse_candidate,
    parse_exports,
    parse_gate,
    parse_input,
)

REFUSED: Final = 1
_FORMATS: Final = {
    ".onnx": ModelFormatName.ONNX,
    ".skops": ModelFormatName.SKLEARN,
    ".joblib": ModelFormatName.SKLEARN,
    ".ubj": ModelFormatName.XGBOOST,
    ".pt2": ModelFormatName.PYTORCH,
    ".pt": ModelFormatName.PYTORCH,
    ".pth": ModelFormatName.PYTORCH,
    ".safetensors": ModelFormatName.PYTORCH,
    ".keras": ModelFormatName.TENSORFLOW,
    ".h5": ModelFormatName.TENSORFLOW,
    ".tflite": ModelFormatName.TENSORFLOW,
    ".mindir": ModelFormatName.MINDSPORE,
    ".ckpt": ModelFormatName.MINDSPORE,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--model", help="a file or folder: a path, or s3://bucket/key")
    what.add_argument(
        "--sweep", metavar="FOLDER", type=Path,
        help="every model below a folder, with the .npz of the same name; one table",
    )  # fmt: skip
    parser.add_argument("--dataset", help=".npz with one array per input and labels")
    parser.add_argument("--output", required=True, help="folder, or s3://bucket/prefix")
    parser.add_argument(
        "--format", choices=[f.value for f in ModelFormatName], help="absent: by the file itself"
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME:TYPE[SIZES]",
        help="for formats that do not say it, e.g. image:FP32[-1,3,224,224]; repeatable, in order",
    )
    parser.add_argument("--loader", metavar="FILE", help="Python file that makes the model")
    parser.add_argument("--loader-function", default="load", metavar="NAME", help="default: load")
    parser.add_argument(
        "--allow-pickle", action="store_true", help="also files that run code when opened"
    )
    parser.add_argument(
        "--gate",
        action="append",
        default=[],
        metavar="METRIC:BOUND=VALUE[,...]",
        help="e.g. accuracy:min=0.9,maxDegradation=0.005 or latency_p95_ms:max=25; repeatable",
    )
    parser.add_argument(
        "--stable",
        metavar="FOLDER",
        help="earlier output that gates with against=Stable compare with",
    )
    parser.add_argument(
        "--objective", choices=[o.value for o in Objective], default=Objective.MIN_LATENCY_P95
    )
    parser.add_argument(
        "--candidate",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE[,...]",
        help="build this instead of what auto would, e.g. int4:mode=WeightOnly,bits=4 or "
        "slim:prune=Percentile/50,precision=FP16; repeatable",
    )
    parser.add_argument(
        "--budget-seconds", type=int, default=600, help="for building and comparing variants"
    )
    parser.add_argument(
        "--stages", type=int, default=1, help="also cut the pick into so many pipeline stages"
    )
    parser.add_argument(
        "--export",
        action="append",
        default=[],
        metavar="FORMAT[,FORMAT]",
        help="also write the fp32 model as tflite, savedmodel or pt2, compared with the ONNX file",
    )
    parser.add_argument("--slices", metavar="ARRAY", help="array with the name of each row's slice")
    parser.add_argument(
        "--price-cpu-hour", help="price of a CPU for an hour: also reports cost per 1,000"
    )
    parser.add_argument("--price-memory-gib-hour", default="0", help="the same of a GiB of memory")
    parser.add_argument(
        "--mode",
        choices=[OptimizationMode.AUTO.value, OptimizationMode.CONVERT_ONLY.value],
        default=OptimizationMode.AUTO,
    )
    parser.add_argument(
        "--task", choices=[t.value for t in Task], default=Task.CLASSIFICATION,
        help="what the labels mean",
    )  # fmt: skip
    parser.add_argument("--labels", default="labels", help="array with the labels")
    parser.add_argument("--judge", metavar="OUTPUT", help="output that is judged")
    parser.add_argument("--threads", type=int, help="of the serving pods; absent: all of this CPU")


def run(options: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Optimise and print the candidates; the exit code."""
    if options.sweep is not None:
        return _sweep(options)
    from slipway_optimizer.steps.runner import describe

    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        step = Step.FETCH
        try:
            settings = Settings(
                request_file=Path(),
                storage_dir=Path(),
                work_dir=Path(folder),
                termination_log=Path(),
                credentials=storage_from_env(environ),
            )
            request = request_of(options)
            report = None
            for step in Step:
                report = _step(step, request, settings)
            return _show(report, Path(folder))
        except BrokenPipeError:
            raise
        except Exception as error:  # noqa: BLE001 - a process's top loop: every end is reported
            failure, code = describe(step, error)
            print(f"{failure.reason}: {as_options(failure.message)}", file=sys.stderr)
            return code


def _sweep(options: argparse.Namespace) -> int:
    from slipway_optimizer import sweep

    models = sweep.models_in(options.sweep, tuple(_FORMATS))
    if not models:
        print(f"no model below {options.sweep}: {', '.join(_FORMATS)} are known", file=sys.stderr)
        return ExitCode.INVALID
    rows = sweep.run(models, Path(options.output), passed_on(options))
    print(f"\n{sweep.table(rows)}")
    return max((row.code for row in rows if row.code == ExitCode.BUG), default=ExitCode.OK)


def passed_on(options: argparse.Namespace) -> list[str]:
    """What a sweep's processes are given besides model, data set and output."""
    words = ["--objective", str(options.objective), "--mode", str(options.mode)]
    words += ["--task", str(options.task), "--labels", options.labels]
    words += ["--budget-seconds", str(options.budget_seconds)]
    words += [word for gate in options.gate for word in ("--gate", gate)]
    words += [word for wish in options.candidate for word in ("--candidate", wish)]
    words += ["--allow-pickle"] if options.allow_pickle else []
    if options.threads:
        words += ["--threads", str(options.threads)]
    return words


def _step(step: Step, request: OptimizationRequest, settings: Settings) -> JobReport | None:
    from slipway_optimizer.steps.job import Job
    from slipway_optimizer.steps.runner import perform
    from slipway_optimizer.workdir import WorkDir

    job = Job(
        request=request,
        settings=settings,
        work=WorkDir(settings.work_dir),
        progress=Progress(step, clock=time.monotonic, words=as_options),
        plain=request.artifacts_uri.startswith("file:"),
    )
    return perform(step, job)


def _show(report: JobReport | None, folder: Path) -> int:
    assert report is not None
    found = folder / "artifact" / "manifest.json"
    path = found if found.exists() else folder / "cached-manifest.json"
    manifest = ArtifactManifest.model_validate_json(path.read_bytes())
    picked = report.artifact.variant if report.artifact else None
    rows = candidate_cells(manifest.validation.candidates, picked=picked)
    message = as_options(report.message)
    print(f"\n{format_table(rows)}\n\n{report.verdict}: {report.reason}: {message}")
    where = report.artifact.manifest_uri if report.artifact else report.report_uri
    print(where)
    return REFUSED if report.verdict is Verdict.FAILED else ExitCode.OK


def request_of(options: argparse.Namespace) -> OptimizationRequest:
    """The request that the operator would make of these options.

    Raises:
        Invalid: an option that cannot be used.
    """
    name = ModelFormatName(options.format) if options.format else format_of(options.model)
    loader = None
    if options.loader:
        loader = LoaderRequest(uri=as_uri(options.loader), function=options.loader_function)
    candidates = tuple(parse_candidate(text, as_uri) for text in options.candidate)
    mode = OptimizationMode.EXPLICIT if candidates else OptimizationMode(options.mode)
    prices = None
    if options.price_cpu_hour is not None:
        prices = {
            "cpuHour": options.price_cpu_hour,
            "memoryGibHour": options.price_memory_gib_hour,
        }
    dataset = None
    if options.dataset:
        dataset = ValidationDataset(storage_uri=as_uri(options.dataset))
    try:
        return OptimizationRequest(
            model=SourceRequest(
                uri=_model_uri(options.model),
                model_format=name,
                inputs=tuple(parse_input(text) for text in options.input),
                loader=loader,
                allow_pickle=options.allow_pickle,
            ),
            optimization=Optimization(
                mode=mode,
                objective=Objective(options.objective),
                candidates=candidates,
                budget=f"{options.budget_seconds}s",
                stages=options.stages,
                exports=parse_exports(options.export),
            ),
            validation=Validation(
                dataset=dataset,
                task=Task(options.task),
                output=options.judge,
                labels=options.labels,
                slices=options.slices,
                prices=None if prices is None else Prices.model_validate(prices),
                gates=tuple(parse_gate(text) for text in options.gate),
            ),
            artifacts_uri=as_uri(options.output),
            threads=options.threads or usable_threads(),
            stable=_stable(options.stable),
        )
    except ValidationError as error:
        raise Invalid(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def _stable(folder: str | None) -> StableRequest | None:
    if folder is None:
        return None
    return StableRequest(manifest_uri=f"{as_uri(folder).rstrip('/')}/{layout.MANIFEST}")


def format_of(model: str) -> ModelFormatName:
    """By what a local file or folder holds, else by the suffix of its address.

    Raises:
        Invalid: neither tells.
    """
    path = Path(model)
    if path.exists():
        found = FORMAT_OF.get(sniff(path).kind)
        if found is not None:
            return found
    suffix = Path(urlsplit(model).path).suffix
    if suffix not in _FORMATS:
        raise Invalid(f"--model ends in '{suffix[:20]}': say what it is with --format")
    return _FORMATS[suffix]


def as_uri(text: str) -> str:
    """A path as ``file://``; a URI as it is."""
    if urlsplit(text).scheme in ("s3", "file"):
        return text
    return "file://" + quote(str(Path(text).resolve()))


def _model_uri(text: str) -> str:
    """The same; a folder's ends in ``/``."""
    uri = as_uri(text)
    return f"{uri}/" if Path(text).is_dir() else uri
