"""What every step is given."""

from dataclasses import dataclass

from slipway.tasks import OptimizationRequest
from slipway_optimizer.progress import Progress
from slipway_optimizer.settings import Settings
from slipway_optimizer.workdir import WorkDir


@dataclass(frozen=True, slots=True)
class Job:
    """One step's run.

    Attributes:
        plain: publish into a folder by plain file names, without cache: laptops.
    """

    request: OptimizationRequest
    settings: Settings
    work: WorkDir
    progress: Progress
    plain: bool = False
