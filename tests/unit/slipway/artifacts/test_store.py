import pytest

from slipway.artifacts.credentials import StorageConfig
from slipway.artifacts.store import bucket_of, open_reader, open_store, safe_names, split_uri
from slipway.errors import Invalid


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://bucket/a/b.onnx", ("s3://bucket", "a/b.onnx")),
        ("file:///d/b.npz", ("file:///d", "b.npz")),
        ("file:///b", ("file:///", "b")),
        ("s3://bucket/model#1?.onnx", ("s3://bucket", "model#1?.onnx")),
        ("file:///d/a#b?.npz", ("file:///d", "a#b?.npz")),
        ("file:///d/a%20b", ("file:///d", "a b")),
    ],
)
def test_an_address_is_a_store_and_a_key(uri: str, expected: tuple[str, str]) -> None:
    assert split_uri(uri) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "file:///",
        "file://host/a",
        "file:///d/",
        "http://a/b",
        "s3://[bad/x",
        "file:///a%00b",
        "gs://b/k",
    ],
)
def test_what_names_no_file_is_refused(uri: str) -> None:
    with pytest.raises(Invalid, match="names no file"):
        split_uri(uri)


@pytest.mark.parametrize("root", ["", "http://a/b", "/folder", "s3://[bad/x"])
def test_what_is_no_store_is_refused(root: str) -> None:
    for opened in (open_reader, open_store):
        with pytest.raises(Invalid, match="storage must be s3"):
            opened(root, StorageConfig())


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://bucket/a/b/", ("bucket", "a/b")),
        ("s3://bucket/team#1/what?", ("bucket", "team#1/what?")),
        ("s3://bucket/a%20b", ("bucket", "a b")),
    ],
)
def test_a_root_is_a_bucket_and_a_prefix(root: str, expected: tuple[str, str]) -> None:
    assert bucket_of(root) == expected


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a//b", "./a"])
def test_a_listed_name_that_leaves_its_folder_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="leaves the folder"):
        safe_names(["ok", name], "s3://b/m/", limit=9)


def test_listed_names_are_sorted_and_folder_markers_dropped() -> None:
    assert safe_names(["b", "a/", "", "a/c"], "s3://b/m/", limit=9) == ("a/c", "b")
