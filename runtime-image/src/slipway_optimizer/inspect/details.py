"""What is told of a model beyond its kind. Pure."""

from dataclasses import dataclass, field

from slipway.artifacts.manifest import Tensor


@dataclass(frozen=True, slots=True)
class Details:
    """As far as the format allows without its framework.

    Attributes:
        facts: name -> value, for people.
        inputs, outputs: where the file says them.
        operators: operator -> count.
        batch: whether rows can be batched, in words.
        quantisation: what quantisation may gain, in words.
        notes: what is worth knowing.
        refusal: why it cannot be served as it is.
        runs_code: whether something inside runs when it is opened.
    """

    facts: dict[str, str] = field(default_factory=dict)
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    operators: dict[str, int] = field(default_factory=dict)
    batch: str = ""
    quantisation: str = ""
    notes: tuple[str, ...] = ()
    refusal: str = ""
    runs_code: bool = False
