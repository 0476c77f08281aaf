"""Where a step finds its things: read from the environment once."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway.artifacts.credentials import StorageConfig
from slipway.contract import TERMINATION_LOG, Env, PodPath, StorageKey, StorageMount
from slipway.errors import Invalid


@dataclass(frozen=True, slots=True)
class Settings:
    """Paths of one run.

    Attributes:
        storage_dir: folder with one folder of credentials per purpose.
        credentials: used for every purpose instead of ``storage_dir``, on laptops.
    """

    request_file: Path
    storage_dir: Path
    work_dir: Path
    termination_log: Path
    credentials: StorageConfig | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read ``contract.Env``; what is absent has the pod's default."""
        return cls(
            request_file=Path(environ.get(Env.REQUEST_FILE) or PodPath.REQUEST_FILE),
            storage_dir=Path(environ.get(Env.STORAGE_DIR) or PodPath.STORAGE),
            work_dir=Path(environ.get(Env.WORK_DIR) or PodPath.WORK),
            termination_log=Path(environ.get(Env.TERMINATION_LOG) or TERMINATION_LOG),
        )

    def storage(self, purpose: StorageMount) -> StorageConfig:
        """How to log in for that purpose; without a mounted Secret: anonymously.

        Raises:
            Invalid: the Secret holds an unusable value.
        """
        if self.credentials is not None:
            return self.credentials
        folder = self.storage_dir / purpose
        return StorageConfig.from_folder(folder) if folder.is_dir() else StorageConfig()


def storage_from_env(environ: Mapping[str, str]) -> StorageConfig:
    """Credentials from the usual ``AWS_*`` variables: laptops only, pods mount Secrets.

    Raises:
        Invalid: an endpoint or addressing style that cannot be used.
    """
    style = environ.get(StorageKey.ADDRESSING_STYLE, "path")
    endpoint = environ.get(StorageKey.ENDPOINT, "")
    if style not in ("path", "virtual"):
        raise Invalid(f"{StorageKey.ADDRESSING_STYLE} is '{style[:40]}': use path or virtual")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise Invalid(f"{StorageKey.ENDPOINT} is '{endpoint[:80]}': start it with https://")
    bundle = environ.get("AWS_CA_BUNDLE")
    return StorageConfig(
        endpoint=endpoint,
        region=environ.get(StorageKey.REGION) or environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        access_key_id=environ.get(StorageKey.ACCESS_KEY_ID, ""),
        secret_access_key=environ.get(StorageKey.SECRET_ACCESS_KEY, ""),
        session_token=environ.get(StorageKey.SESSION_TOKEN, ""),
        addressing_style="virtual" if style == "virtual" else "path",
        ca_bundle=Path(bundle) if bundle else None,
    )
