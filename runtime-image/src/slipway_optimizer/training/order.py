"""What a training child is told. Pure."""

from typing import Final

from slipway.api.v1alpha1.validation import Task
from slipway.wire import WireModel

LABELS: Final = "labels"


class StudentOrder(WireModel):
    """A student of the user's.

    Attributes:
        loader: a Python file whose ``function`` makes the module.
        given: file or folder whose path the function takes: weights, else the model's own source.
    """

    loader: str
    function: str
    given: str


class TrainOrder(WireModel):
    """Rows and time.

    Attributes:
        rows: an ``.npz`` with ``input:<name>`` arrays, the labelled rows first, and ``labels`` of
            these, which is absent without labels.
        judged: the output that is taught.
        seconds: for everything that it trains.
        threads: of the serving pods, where latency is aimed at.
        student: absent, a student is cut from the model.
    """

    rows: str
    judged: str
    task: Task
    seconds: float
    threads: int = 1
    student: StudentOrder | None = None
