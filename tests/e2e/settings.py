"""What the run was given: the cluster by KUBECONFIG, images by name, and whether to keep things."""

import itertools
import os
from dataclasses import MISSING, dataclass, fields

RELEASE = "slipway"
SYSTEM = "slipway-system"
STORE = "slipway-e2e-store"
SECRET = "store"
BUCKET = "models"
ARTIFACTS = "artifacts"
# The images that each needs, as build-images.sh names them.
FRAMEWORKS = {
    "torch": ("optimizer-torch",),
    "tensorflow": ("optimizer-tensorflow",),
    "mindspore": ("optimizer-mindspore",),
    "openvino": ("optimizer-openvino", "server-openvino"),
}


@dataclass(frozen=True, slots=True)
class Images:
    """Names that the nodes can pull, or hold; those with a default are of frameworks."""

    operator: str
    server: str
    optimizer: str
    optimizer_classic: str
    s3: str
    optimizer_torch: str = ""
    optimizer_tensorflow: str = ""
    optimizer_mindspore: str = ""
    optimizer_openvino: str = ""
    server_openvino: str = ""

    @property
    def frameworks(self) -> dict[str, str]:
        """Those of frameworks that the run has, by the name of the chart's value."""
        found = {}
        for image in itertools.chain(*FRAMEWORKS.values()):
            program, _, framework = image.partition("-")
            if name := getattr(self, f"{program}_{framework}"):
                found[f"{program}{framework.title()}"] = name
        return found

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Environment variable of each."""
        return {name: f"SLIPWAY_E2E_IMAGE_{name.upper()}" for name in cls.__slots__}

    @classmethod
    def from_environment(cls) -> "Images | None":
        """What the runner, or a user with a cluster of theirs, named."""
        found = {name: os.environ.get(key, "") for name, key in cls.variables().items()}
        return None if cls.missing() else cls(**found)

    @classmethod
    def missing(cls) -> list[str]:
        """The variables that a run cannot do without, and that are not set."""
        needed = [each.name for each in fields(cls) if each.default is MISSING]
        return [key for name in needed if not os.environ.get(key := cls.variables()[name])]


RECORD = os.environ.get("SLIPWAY_E2E_RECORD") == "1"
