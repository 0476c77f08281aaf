"""The command line of ``slipway dataset``. What it needs is imported only when it runs."""

import argparse
import sys
from pathlib import Path

from slipway.api.v1alpha1.validation import Task
from slipway.contract import ExitCode
from slipway.errors import Invalid


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", required=True)
    csv = actions.add_parser("from-csv", help="columns of a table become inputs and labels")
    csv.add_argument("source", type=Path, metavar="FILE", help="with a header line")
    _output(csv)
    csv.add_argument("--labels", metavar="COLUMN", help="absent: no labels")
    csv.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME[:TYPE]=COLUMN[,...]",
        help="one array of the model's; TYPE is FP32, INT64, BYTES, ...; repeatable; absent: all "
        "other columns are the FP32 input X",
    )
    csv.add_argument("--separator", default=",", metavar="CHARACTER", help="default: a comma")
    images = actions.add_parser("from-images", help="a folder with one folder of images per class")
    images.add_argument("source", type=Path, metavar="FOLDER")
    _output(images)
    images.add_argument("--size", required=True, metavar="HEIGHTxWIDTH", help="e.g. 224x224")
    images.add_argument("--input", default="image", metavar="NAME", help="default: image")
    images.add_argument("--layout", choices=("nchw", "nhwc"), default="nchw", help="default: nchw")
    images.add_argument("--gray", action="store_true", help="one channel instead of three")
    images.add_argument(
        "--mean", default="0", metavar="NUMBER[,...]", help="subtracted after scaling to 0..1"
    )
    images.add_argument("--std", default="1", metavar="NUMBER[,...]", help="divided by afterwards")
    check = actions.add_parser("check", help="say whether a data set is whole, and fits a model")
    check.add_argument("source", type=Path, metavar="FILE.npz")
    check.add_argument("--model", type=Path, metavar="FILE.onnx", help="also whether it fits it")
    check.add_argument("--task", choices=[t.value for t in Task], default=Task.CLASSIFICATION.value)
    check.add_argument("--labels", default="labels", metavar="ARRAY", help="default: labels")
    check.add_argument("--judge", metavar="OUTPUT", help="output that the labels are of")


def _output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.npz")


def run(options: argparse.Namespace) -> int:
    """Make or check, and print what there is; the exit code."""
    try:
        print("\n".join(_run(options)))
    except Invalid as error:
        print(error, file=sys.stderr)
        return ExitCode.INVALID
    except OSError as error:
        print(f"{error.filename or options.source}: {error.strerror}", file=sys.stderr)
        return ExitCode.INVALID
    return ExitCode.OK


def _run(options: argparse.Namespace) -> list[str]:
    from slipway_optimizer.arrays import save_npz
    from slipway_optimizer.collect import check

    match options.action:
        case "from-csv":
            from slipway_optimizer.collect import from_csv

            columns = tuple(from_csv.parse_columns(text) for text in options.input)
            table = from_csv.Table(columns, options.labels, options.separator)
            arrays = from_csv.read(options.source, table)
        case "from-images":
            from slipway_optimizer.collect import from_images

            pictures = from_images.Pictures.parse(options)
            arrays = from_images.read(options.source, pictures)
        case _:
            wanted = check.Wanted(options.model, Task(options.task), options.labels, options.judge)
            return check.check(options.source, wanted)
    save_npz(options.output, arrays)
    return [*check.described(arrays), f"wrote {options.output}"]
