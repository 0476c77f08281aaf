from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from slipway.artifacts.folder import FolderStore
from slipway.artifacts.manifest import FileRole
from slipway.errors import Invalid, NotFound, Transient
from slipway_server.loading import Address, fetch, open_file, open_folder, with_retries
from tests.support.artifacts import Artifact

ARTIFACT = Artifact(
    model=b"model bytes",
    golden={"input:x": np.ones((1, 2))},
    feeds={"input:x": np.ones((9, 2))},
)


@dataclass(slots=True)
class Counting:
    """A reader that notes what is asked of it, and may be down."""

    inner: FolderStore
    asked: list[str] = field(default_factory=list)
    down: bool = False

    def read(self, key: str, *, limit: int) -> bytes:
        self._note(key)
        return self.inner.read(key, limit=limit)

    def download(self, key: str, path: Path) -> None:
        self._note(key)
        self.inner.download(key, path)

    def _note(self, key: str) -> None:
        if self.down:
            raise Transient("the store is down")
        self.asked.append(key.partition("/")[0])


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "store")


@pytest.fixture
def reader(store: FolderStore) -> Counting:
    return Counting(store)


@pytest.fixture
def address(store: FolderStore, reader: Counting, tmp_path: Path) -> Address:
    key, digest = ARTIFACT.publish(store, tmp_path)
    return Address(reader, reader, key, digest)


def blob(tmp_path: Path, role: FileRole) -> Path:
    (file,) = [file for file in ARTIFACT.manifest().files if file.role is role]
    return tmp_path / "store" / "blobs" / "sha256" / file.digest.removeprefix("sha256:")


def test_what_serving_needs_is_downloaded_verified_and_read_only(
    address: Address, reader: Counting, tmp_path: Path
) -> None:
    artifact = fetch(address, tmp_path / "work")
    assert artifact.manifest == ARTIFACT.served()
    assert artifact.model.read_bytes() == b"model bytes"
    assert artifact.model.stat().st_mode & 0o777 == 0o444
    assert artifact.path(FileRole.GOLDEN) == artifact.model.with_name("golden.npz")
    assert reader.asked == ["manifests", "blobs", "blobs"]  # not the feeds
    assert sorted(path.name for path in artifact.folder.iterdir()) == [
        "golden.npz", "manifest.json", "model.onnx",
    ]  # fmt: skip


def test_a_restart_needs_no_store(address: Address, reader: Counting, tmp_path: Path) -> None:
    fetch(address, tmp_path / "work")
    reader.down = True
    assert fetch(address, tmp_path / "work").model.read_bytes() == b"model bytes"


def test_a_file_that_was_changed_in_the_work_folder_is_fetched_again(
    address: Address, reader: Counting, tmp_path: Path
) -> None:
    artifact = fetch(address, tmp_path / "work")
    for path in (artifact.model, artifact.folder / "manifest.json"):
        path.chmod(0o644)
        path.write_bytes(b"modex bytes")
    assert fetch(address, tmp_path / "work").model.read_bytes() == b"model bytes"
    assert reader.asked.count("blobs") == 3


@pytest.mark.parametrize("data", [b"modeX bytes", b"short", b"", b"much longer than before"])
def test_other_bytes_are_never_placed(address: Address, tmp_path: Path, data: bytes) -> None:
    blob(tmp_path, FileRole.MODEL).write_bytes(data)
    with pytest.raises(Invalid, match=r"file 'model\.onnx' has"):
        fetch(address, tmp_path / "work")
    (folder,) = (tmp_path / "work").iterdir()
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]


def test_another_manifest_is_refused(address: Address, tmp_path: Path) -> None:
    (tmp_path / "store" / address.manifest_key).write_bytes(b"{}")
    with pytest.raises(Invalid, match="somebody changed it in the store"):
        fetch(address, tmp_path / "work")


def test_a_manifest_with_the_right_digest_but_no_sense_is_refused(
    store: FolderStore, tmp_path: Path
) -> None:
    from slipway.artifacts.layout import digest_of

    store.commit("m", b'{"schemaVersion":2}')
    address = Address(store, store, "m", digest_of(b'{"schemaVersion":2}'))
    with pytest.raises(Invalid, match=r"manifest\.json is not usable: schemaVersion"):
        fetch(address, tmp_path / "work")


def test_a_missing_blob_is_named(address: Address, tmp_path: Path) -> None:
    blob(tmp_path, FileRole.GOLDEN).unlink()
    with pytest.raises(NotFound):
        fetch(address, tmp_path / "work")


def test_a_folder_is_verified_in_place(tmp_path: Path) -> None:
    folder = ARTIFACT.write(tmp_path / "artifact")
    artifact = open_folder(folder)
    assert (artifact.manifest, artifact.folder) == (ARTIFACT.served(), folder)
    (folder / "model.onnx").write_bytes(b"modeX bytes")
    with pytest.raises(Invalid, match=r"file 'model\.onnx' has digest"):
        open_folder(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(NotFound, match=r"file 'model\.onnx' of the manifest is missing"):
        open_folder(folder)


def test_a_folder_without_a_manifest_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"has no readable manifest\.json"):
        open_folder(tmp_path)
    with pytest.raises(NotFound, match="does not exist"):
        open_file(tmp_path / "model.onnx")


class Time:
    """A clock that waiting advances."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_store_that_comes_back_within_a_minute_is_waited_for() -> None:
    time, notes = Time(), []
    failures = iter([Transient("down"), Transient("busy", retry_after=3.0), Transient("down")])

    def attempt() -> int:
        for failure in failures:
            raise failure
        return 7

    def note(error: Transient, wait: float) -> None:
        notes.append((str(error), wait))

    assert with_retries(attempt, clock=lambda: time.now, sleep=time.sleep, note=note) == 7
    assert notes == [("down", 0.5), ("busy", 3.0), ("down", 2.0)]


def test_a_store_that_stays_away_is_given_up_after_a_minute() -> None:
    time = Time()

    def attempt() -> int:
        raise Transient("down")

    with pytest.raises(Transient):
        with_retries(attempt, clock=lambda: time.now, sleep=time.sleep, note=lambda *_: None)
    assert 50 < time.now <= 60


def test_what_no_try_can_help_is_not_tried_again() -> None:
    def attempt() -> int:
        raise Invalid("wrong keys")

    with pytest.raises(Invalid):
        with_retries(
            attempt,
            clock=lambda: 0.0,
            sleep=lambda _: pytest.fail("it waited"),
            note=lambda *_: None,
        )
