"""Where a store is and how to log in: read from the folder where a Secret is mounted."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from slipway.contract import StorageKey
from slipway.errors import Invalid

_MAX_VALUE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """One Secret's content. Endpoint and keys come together: a key only ever meets its endpoint.

    Attributes:
        endpoint: base URL of the S3-compatible service; empty means the AWS default.
        ca_bundle: PEM file that verifies the endpoint, if it is not publicly trusted.
    """

    endpoint: str = ""
    region: str = "us-east-1"
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    addressing_style: Literal["path", "virtual"] = "path"
    ca_bundle: Path | None = None

    @classmethod
    def from_folder(cls, folder: Path) -> "StorageConfig":
        """Read the mounted Secret; keys that are absent keep their defaults.

        Raises:
            Invalid: none of the keys is there, or a value is unusable.
        """
        if not any((folder / key).is_file() for key in StorageKey):
            # Without this the request would go to AWS itself, wherever the store is.
            raise Invalid(
                f"the {folder.name} storage's Secret does not exist, or has none of the keys "
                f"{StorageKey.ENDPOINT}, {StorageKey.ACCESS_KEY_ID}, ...: create it in this "
                "namespace"
            )
        values = {key: _read(folder / key) for key in StorageKey if key is not StorageKey.CA_BUNDLE}
        style = values[StorageKey.ADDRESSING_STYLE] or "path"
        if style not in ("path", "virtual"):
            raise Invalid(
                f"storage key {StorageKey.ADDRESSING_STYLE} is '{style[:40]}': use path or virtual"
            )
        endpoint = values[StorageKey.ENDPOINT]
        if endpoint and not endpoint.startswith(("http://", "https://")):
            raise Invalid(
                f"storage key {StorageKey.ENDPOINT} is '{endpoint[:80]}': it must start with "
                "https:// or http://"
            )
        bundle = folder / StorageKey.CA_BUNDLE
        return cls(
            endpoint=endpoint,
            region=values[StorageKey.REGION] or "us-east-1",
            access_key_id=values[StorageKey.ACCESS_KEY_ID],
            secret_access_key=values[StorageKey.SECRET_ACCESS_KEY],
            session_token=values[StorageKey.SESSION_TOKEN],
            addressing_style=cast("Literal['path', 'virtual']", style),
            ca_bundle=bundle if bundle.is_file() else None,
        )


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ""
    if len(data) > _MAX_VALUE_BYTES:
        raise Invalid(f"storage key {path.name} is {len(data)} bytes long: that is no such value")
    try:
        return data.decode().strip()
    except UnicodeDecodeError as error:
        raise Invalid(f"storage key {path.name} is not text") from error
