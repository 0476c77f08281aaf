"""The parts of a candidate that learn: ``distillation`` and ``training``."""

from pydantic import Field

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.base import Decimal, FileUri, Rule, RuledModel
from slipway.api.v1alpha1.model import Loader

_DEPTH = "1"
_ONCE_DEFAULT = "0.25"  # of width: written into resources that an earlier CRD completed


def _share(field: str) -> Rule:
    """``field`` is a decimal above 0 and at most 1."""
    snake = {"learningRate": "learning_rate", "latencyRatio": "latency_ratio"}.get(field, field)

    def check(part: "Distillation | Training") -> bool:
        value = getattr(part, snake)
        return value is None or 0 < parse_decimal(value) <= 1

    return Rule(
        cel=f"!has(self.{field}) || (double(self.{field}) > 0.0 && double(self.{field}) <= 1.0)",
        message=f"{field} is {{{field}}}: use more than 0 and at most 1",
        check=check,
    )


class StudentLoader(Loader):
    """Python code that makes the student, and weights that it begins with."""

    function: str = Field(
        default="load",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        max_length=64,
        description="Function of that file: takes a path (pathlib.Path), returns a torch.nn.Module "
        "that takes the model's inputs and returns its scores, before any Softmax or Sigmoid.",
    )
    weights_uri: FileUri | None = Field(
        default=None,
        description="A file, whose path the function is given. Absent: the path of the model's own "
        "file or folder, so that the student may begin with parts of it.",
    )


class Distillation(RuledModel):
    """A smaller model that learns from this one: min E[L(f, y)] + lambda E|f - g|^2 (PyTorch)."""

    loader: StudentLoader | None = Field(
        default=None,
        description="A student of your own. Absent: one is cut from the model, by width and depth.",
    )
    width: Decimal | None = Field(
        default=None,
        description="Share of the channels that the student keeps, in blocks of 16: the most "
        "important ones, so that it begins with what the teacher knows. Absent: 0.25, and "
        "narrower where that is not fast enough (latencyRatio).",
    )
    depth: Decimal = Field(
        default=_DEPTH,
        description="Share of the residual branches (else of the layers whose outputs have their "
        "inputs' shape) that it keeps.",
    )
    latency_ratio: Decimal | None = Field(
        default=None,
        description="Share of the model's latency that the student is to have at most. From width "
        "on, channels are narrowed further, at last to 8 and 4, until a short measurement of "
        "single rows reaches it. Absent: 0.4 where width is absent too, as far as narrowing pays; "
        "else none.",
    )
    lambdas: tuple[Decimal, ...] = Field(
        default=(),
        max_length=8,
        description="Weights of the teacher against the labels, tried in order, each divided by "
        "the variance of the teacher's scores. Absent: 0.05, 0.1, 0.3; without labels, one.",
    )
    target_score: Decimal | None = Field(
        default=None,
        description="On the rows held out: accuracy, or minus the mean absolute error. Reached, no "
        "further lambda is tried. Absent: all are, as far as the budget goes.",
    )
    rules = (
        _share("width"),
        _share("depth"),
        _share("latencyRatio"),
        Rule(
            cel="!has(self.loader) || !has(self.latencyRatio) && "
            f"(!has(self.width) || self.width == '{_ONCE_DEFAULT}') && "
            f"(!has(self.depth) || self.depth == '{_DEPTH}')",
            message="width, depth and latencyRatio cut a student from the model, but a loader "
            "makes this one: leave out either",
            check=lambda d: (
                d.loader is None
                or (
                    (d.depth, d.latency_ratio) == (_DEPTH, None)
                    and d.width in (None, _ONCE_DEFAULT)
                )
            ),
        ),
        Rule(
            cel="!has(self.lambdas) || self.lambdas.all(l, double(l) > 0.0)",
            message="lambdas holds a number that is not above 0: leave it out",
            check=lambda d: all(parse_decimal(value) > 0 for value in d.lambdas),
        ),
    )


class Training(RuledModel):
    """Fine-tuning by the labels and by the model's own scores (PyTorch)."""

    epochs: int = Field(
        default=12,
        ge=1,
        le=1000,
        description="At most; it ends early when nothing gets better, or no time is left. Without "
        "training, a student has 100.",
    )
    learning_rate: Decimal = Field(
        default="0.001", description="The highest: it rises shortly, then falls along a cosine."
    )
    rules = (_share("learningRate"),)
