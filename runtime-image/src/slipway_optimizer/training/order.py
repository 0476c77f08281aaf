"""What a training child is told. Pure."""

from typing import Final

from slipway.api.v1alpha1.validation import Task
from slipway.wire import WireModel

LABELS: Final = "labels"


class TrainOrder(WireModel):
    """Rows and time.

    Attributes:
        rows: an ``.npz`` with ``input:<name>`` arrays, the labelled rows first, and ``labels`` of
            these, which is absent without labels.
        judged: the output that is taught.
        seconds: for everything that it trains.
    """

    rows: str
    judged: str
    task: Task
    seconds: float
