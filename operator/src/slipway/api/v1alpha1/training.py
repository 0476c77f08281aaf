"""The parts of a candidate that learn: ``distillation`` and ``training``."""

from pydantic import Field

from slipway.api.quantity import parse_decimal
from slipway.api.v1alpha1.base import Decimal, Rule, RuledModel


def _share(field: str) -> Rule:
    """``field`` is a decimal above 0 and at most 1."""
    snake = {"learningRate": "learning_rate"}.get(field, field)
    return Rule(
        cel=f"!has(self.{field}) || (double(self.{field}) > 0.0 && double(self.{field}) <= 1.0)",
        message=f"{field} is {{{field}}}: use more than 0 and at most 1",
        check=lambda part: 0 < parse_decimal(getattr(part, snake)) <= 1,
    )


class Distillation(RuledModel):
    """A smaller model that learns from this one: min E[L(f, y)] + lambda E|f - g|^2 (PyTorch)."""

    width: Decimal = Field(
        default="0.25",
        description="Share of the channels that the student keeps, in blocks of 16: the most "
        "important ones, so that it begins with what the teacher knows.",
    )
    depth: Decimal = Field(
        default="1",
        description="Share of the residual branches (else of the layers whose outputs have their "
        "inputs' shape) that it keeps.",
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
        Rule(
            cel="!has(self.lambdas) || self.lambdas.all(l, double(l) > 0.0)",
            message="lambdas holds a number that is not above 0: leave it out",
            check=lambda d: all(parse_decimal(value) > 0 for value in d.lambdas),
        ),
    )


class Training(RuledModel):
    """Fine-tuning by the labels and by the model's own scores (PyTorch)."""

    epochs: int = Field(
        default=12, ge=1, le=1000, description="At most; it ends early when nothing gets better."
    )
    learning_rate: Decimal = Field(
        default="0.001", description="The highest: it rises shortly, then falls along a cosine."
    )
    rules = (_share("learningRate"),)
