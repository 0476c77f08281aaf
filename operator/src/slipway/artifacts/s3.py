"""An artifact store in S3-compatible storage that writes. boto3's owner file.

``commit`` is a conditional put (``If-None-Match: *``), which AWS, MinIO, versitygw and Ceph honour.
A store that ignores it would let the later of two racing Jobs win; both wrote artifacts of equal
inputs, so readers see one or the other whole, never a mixture.
"""

from pathlib import Path
from typing import Any, Final

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from slipway.artifacts.credentials import StorageConfig
from slipway.artifacts.store import bucket_of
from slipway.contract import StorageKey
from slipway.errors import Invalid, NotFound, SlipwayError, Transient

_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 30
_ATTEMPTS: Final = 4
_KEYS_REMEDY: Final = (
    f"check {StorageKey.ACCESS_KEY_ID}, {StorageKey.SECRET_ACCESS_KEY} and {StorageKey.REGION} of "
    "the storage Secret, and that they may use the bucket"
)
# Other codes with status 404 speak of the login: versitygw's of an unknown access key does.
_ABSENT_CODES: Final = frozenset({"", "404", "NoSuchKey", "NotFound"})
_DENIED_CODES: Final = frozenset(
    {
        "AccessDenied",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
    }
)
_BLOBS: Final = "blobs/"


class S3Store:
    """Implements ``Store`` at ``s3://bucket[/prefix]``."""

    def __init__(self, root: str, config: StorageConfig) -> None:
        """Open the store; nothing is sent yet.

        Raises:
            Invalid: one of the two keys is missing.
        """
        self._bucket, self._prefix = bucket_of(root)
        if bool(config.access_key_id) != bool(config.secret_access_key):
            raise Invalid(
                f"the storage Secret has only one of {StorageKey.ACCESS_KEY_ID} and "
                f"{StorageKey.SECRET_ACCESS_KEY}: set both, or neither for anonymous access"
            )
        self._client = _client(config)

    def read(self, key: str, *, limit: int) -> bytes:
        """See ``Reader.read``."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(key))
            if answer["ContentLength"] > limit:
                raise Invalid(f"{self._uri(key)} is larger than {limit} bytes")
            data: bytes = answer["Body"].read()
        except (BotoCoreError, ClientError, OSError) as error:
            raise self._translate(error, key) from error
        return data

    def download(self, key: str, path: Path) -> None:
        """See ``Reader.download``."""
        try:
            self._client.download_file(self._bucket, self._key(key), str(path), Config=_TRANSFER)
        except (BotoCoreError, Boto3Error, ClientError, OSError) as error:
            raise self._translate(error, key) from error

    def upload(self, path: Path, key: str) -> None:
        """See ``Store.upload``; a blob there of the same size is not sent again."""
        try:
            if key.startswith(_BLOBS) and self._size(key) == path.stat().st_size:
                return
            self._client.upload_file(str(path), self._bucket, self._key(key), Config=_TRANSFER)
        except (BotoCoreError, Boto3Error, ClientError, OSError) as error:
            raise self._translate(error, key) from error

    def commit(self, key: str, data: bytes) -> bool:
        """See ``Store.commit``."""
        try:
            self._client.put_object(
                Bucket=self._bucket, Key=self._key(key), Body=data, IfNoneMatch="*"
            )
        except ClientError as error:
            if _status(error) == 412:
                return False
            raise self._translate(error, key) from error
        except (BotoCoreError, OSError) as error:
            raise self._translate(error, key) from error
        return True

    def _size(self, key: str) -> int | None:
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=self._key(key))
        except ClientError as error:
            # Without the right to list, S3 answers 403 for what is absent.
            if _status(error) in (403, 404):
                return None
            raise
        size: int = head["ContentLength"]
        return size

    def _key(self, key: str) -> str:
        if not key or key.startswith("/") or ".." in key.split("/"):
            raise Invalid(f"key '{key[:200]}' leaves the store")
        return f"{self._prefix}/{key}" if self._prefix else key

    def _uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{self._key(key)}"

    def _translate(self, error: Exception, key: str) -> SlipwayError:
        cause = error.__cause__ or error.__context__
        if isinstance(error, Boto3Error) and isinstance(cause, ClientError):
            error = cause  # upload_file wraps what the service said
        if isinstance(error, NoCredentialsError):
            return Invalid(f"{self._uri(key)} needs credentials: {_KEYS_REMEDY}")
        if not isinstance(error, ClientError):
            kind = type(error).__name__
            return Transient(
                f"{self._uri(key)}: the store at {StorageKey.ENDPOINT} did not answer: is it up? "
                f"({kind})"
            )
        code, status = str(error.response.get("Error", {}).get("Code", "")), _status(error)
        if code == "NoSuchBucket":
            return Invalid(f"bucket {self._bucket} does not exist: create it or correct the URI")
        if status == 404 and code in _ABSENT_CODES:
            return NotFound(f"{self._uri(key)} does not exist")
        if status in (401, 403, 404) or code in _DENIED_CODES:
            return Invalid(f"{self._uri(key)} is refused ({code or status}): {_KEYS_REMEDY}")
        return Transient(f"{self._uri(key)}: the store answered {status} {code}".rstrip())


_TRANSFER: Final = TransferConfig(multipart_threshold=64 << 20, multipart_chunksize=32 << 20)


def _client(config: StorageConfig) -> Any:
    anonymous = not config.access_key_id
    return boto3.session.Session().client(
        "s3",
        endpoint_url=config.endpoint or None,
        region_name=config.region,
        aws_access_key_id=config.access_key_id or None,
        aws_secret_access_key=config.secret_access_key or None,
        aws_session_token=config.session_token or None,
        verify=str(config.ca_bundle) if config.ca_bundle else True,
        config=Config(
            signature_version=UNSIGNED if anonymous else "s3v4",
            s3={"addressing_style": config.addressing_style},
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            # A key only ever meets its own endpoint, whatever the environment says.
            proxies={},
            ignore_configured_endpoint_urls=True,
            # Not every S3-compatible store knows the newer checksum trailers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
