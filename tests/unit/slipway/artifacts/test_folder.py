import errno
import os
import shutil
from pathlib import Path

import pytest

from slipway.artifacts.folder import FolderStore
from slipway.errors import Invalid, NotFound, Transient


def test_the_first_commit_wins(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    assert [store.commit("m/k.json", b"1"), store.commit("m/k.json", b"2")] == [True, False]
    assert store.read("m/k.json", limit=10) == b"1"
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["k.json"]


def test_an_upload_replaces_and_a_download_copies(tmp_path: Path) -> None:
    store, source, target = FolderStore(tmp_path / "s"), tmp_path / "a", tmp_path / "b"
    for content in (b"old", b"new"):
        source.write_bytes(content)
        store.upload(source, "blobs/x")
    store.download("blobs/x", target)
    assert target.read_bytes() == b"new"


def test_what_is_not_there_is_not_found_and_what_is_too_large_is_refused(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    with pytest.raises(NotFound):
        store.read("absent", limit=1)
    with pytest.raises(NotFound):
        store.download("absent", tmp_path / "x")
    (tmp_path / "large").write_bytes(b"123")
    with pytest.raises(Invalid, match="larger than 2 bytes"):
        store.read("large", limit=2)


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EACCES, Invalid), (errno.EROFS, Invalid), (errno.ENOSPC, Transient)],
)
def test_what_waiting_does_not_mend_is_the_users_to_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]
) -> None:
    """The rights of files do not hold for root, who may run the tests: the system says no."""

    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    store, source = FolderStore(tmp_path / "s"), tmp_path / "a"
    source.write_bytes(b"1")
    store.upload(source, "blobs/x")
    monkeypatch.setattr(shutil, "copyfile", fails)
    monkeypatch.setattr(os, "link", fails)
    for act in (
        lambda: store.upload(source, "blobs/y"),
        lambda: store.download("blobs/x", tmp_path / "b"),
        lambda: store.commit("m/k", b""),
    ):
        with pytest.raises(kind, match="cannot be"):
            act()
    left = [path.name for path in (tmp_path / "s").rglob("*") if path.is_file()]
    assert left == ["x"]


def test_a_folder_that_is_a_file_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("no folder")
    store = FolderStore(tmp_path / "s")
    with pytest.raises(Invalid, match="mend the rights of the folder, or name another one"):
        store.read("k", limit=1)


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/passwd", "", "."])
def test_no_key_leaves_the_store(key: str, tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "s")
    with pytest.raises(Invalid, match="leaves the store"):
        store.read(key, limit=10)
    with pytest.raises(Invalid, match="leaves the store"):
        store.commit(key, b"")


def test_a_folder_s_files_are_listed_with_their_paths(tmp_path: Path) -> None:
    for name in ("m/b.bin", "m/sub/a.pb", "mm/other"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"1")
    store = FolderStore(tmp_path)
    assert store.list("m/", limit=2) == ("b.bin", "sub/a.pb")
    with pytest.raises(Invalid, match="holds more than 1 files"):
        store.list("m/", limit=1)
    with pytest.raises(NotFound):
        store.list("absent/", limit=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="holds no file"):
        store.list("empty/", limit=1)
