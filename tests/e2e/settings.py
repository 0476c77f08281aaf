"""What the run was given: the cluster by KUBECONFIG, images by name, and whether to keep things."""

import os
from dataclasses import dataclass

RELEASE = "slipway"
SYSTEM = "slipway-system"
STORE = "slipway-e2e-store"
SECRET = "store"
BUCKET = "models"
ARTIFACTS = "artifacts"


@dataclass(frozen=True, slots=True)
class Images:
    """Names that the nodes can pull, or hold."""

    operator: str
    server: str
    optimizer: str
    optimizer_classic: str
    s3: str

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Environment variable of each."""
        return {name: f"SLIPWAY_E2E_IMAGE_{name.upper()}" for name in cls.__slots__}

    @classmethod
    def from_environment(cls) -> "Images | None":
        """What the runner, or a user with a cluster of theirs, named."""
        found = {name: os.environ.get(key, "") for name, key in cls.variables().items()}
        return cls(**found) if all(found.values()) else None


RECORD = os.environ.get("SLIPWAY_E2E_RECORD") == "1"
