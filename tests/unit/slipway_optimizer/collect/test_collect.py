"""Data sets from tables and images; whatever is wrong is named by line and column."""

import argparse
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from slipway.errors import Invalid
from slipway_optimizer.arrays import Arrays, load_npz
from slipway_optimizer.collect import command
from slipway_optimizer.collect.from_csv import Table, parse_columns, read
from slipway_optimizer.collect.from_images import Pictures
from slipway_optimizer.collect.from_images import read as read_images
from tests.support.small_models import classifier, model_of, rows, save, save_rows


def table(folder: Path, text: str) -> Path:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return folder / "t.csv"


def run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def test_all_other_columns_are_the_input(tmp_path: Path) -> None:
    found = read(table(tmp_path, "a,b,kind\n1,2.5,0\n-3,1e2,1\n"), Table(labels="kind"))
    assert found["X"].dtype == np.float32
    assert found["X"].tolist() == [[1, 2.5], [-3, 100]]
    assert found["labels"].tolist() == [0, 1]


def test_columns_become_arrays_of_their_types(tmp_path: Path) -> None:
    wanted = (parse_columns("ids:INT64=a,b"), parse_columns("text:BYTES=t"))
    path = table(tmp_path, 'a;b;t;l\n1;2;"x; y";good\n3;4;z;bad\n')
    found = read(path, Table(wanted, "l", ";"))
    assert found["ids"].tolist() == [[1, 2], [3, 4]]
    assert found["text"].tolist() == [["x; y"], ["z"]]
    assert found["labels"].tolist() == ["good", "bad"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,l\n1,0\nx,1\n", "line 3, column 'a': 'x' is no float32 number"),
        ("a,l\n1,0\n,1\n", "line 3, column 'a': the cell is empty"),
        ("a,l\n1,0\n2\n", "line 3 has 1 cells, but the header has 2"),
        ("a,l\n1,\n", "line 2, column 'l': the label is missing"),
        ("a,l\n1e99,0\n", "line 2, column 'a': '1e99' does not fit float32"),
        ("a,l\nnan,0\n", "line 2, column 'a': 'nan' does not fit float32"),
        ("a,a\n1,0\n", "names a column twice"),
        ("a,l\n", "no rows below its header"),
        ("", "no rows below its header"),
        ("a,b\n1,2\n", "no column 'l', but a, b"),
        ("l\n1\n", "no column is left for the input X"),
    ],
)
def test_a_broken_table_is_refused_by_its_place(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=words):
        read(table(tmp_path, text), Table(labels="l"))


def test_a_whole_number_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "a\n300\n")
    with pytest.raises(Invalid, match="line 2, column 'a': '300' does not fit uint8"):
        read(path, Table((parse_columns("x:UINT8=a"),)))


def test_no_text_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n\xff\xfe,1\n")
    with pytest.raises(Invalid, match="no table in UTF-8"):
        read(tmp_path / "t.csv", Table())


def pictures(folder: Path) -> Path:
    for name, shade in (("dark", 0), ("light", 255)):
        (folder / name).mkdir()
        Image.new("RGB", (6, 4), (shade, 51, shade)).save(folder / name / "1.png")
    return folder


def test_folders_of_images_are_classes(tmp_path: Path) -> None:
    found = read_images(pictures(tmp_path), Pictures(2, 3, mean=(0.2,), std=(0.4,)))
    assert found["image"].shape == (2, 3, 2, 3)
    assert found["image"].dtype == np.float32
    assert found["labels"].tolist() == [0, 1]
    np.testing.assert_allclose(found["image"][1, :, 0, 0], [2, 0, 2], atol=1e-6)
    last = read_images(tmp_path, Pictures(2, 3, channels=1, channels_first=False))
    assert last["image"].shape == (2, 2, 3, 1)


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    (pictures(tmp_path) / "dark" / "2.jpg").write_bytes(b"not an image")
    with pytest.raises(Invalid, match=r"2\.jpg is not readable as an image"):
        read_images(tmp_path, Pictures(2, 2))


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="one folder for each class"):
        read_images(tmp_path, Pictures(2, 2))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--size", "224"], "--size is '224'"),
        (["--size", "2x2", "--mean", "a"], "--mean is 'a'"),
        (["--size", "2x2", "--std", "1,2"], "--std has 2 numbers"),
        (["--size", "2x2", "--std", "0"], "--std has a zero"),
    ],
)
def test_broken_options_are_named(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("from-images", tmp_path, "-o", tmp_path / "d.npz", *words) == 65
    assert says in capsys.readouterr().err


def test_a_table_becomes_a_data_set_that_fits_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = rows(150)
    lines = [",".join([*map(str, x), str(label)]) for x, label in zip(*held.values(), strict=True)]
    text = "\n".join(["a,b,c,d,e,f,g,h,l", *lines])
    path, data = table(tmp_path, text), tmp_path / "d.npz"
    columns = "x=a,b,c,d,e,f,g,h"
    assert run("from-csv", path, "-o", data, "--labels", "l", "--input", columns) == 0
    assert load_npz(data, limit=1 << 20)["x"].tolist() == held["x"].tolist()
    model = save(tmp_path / "m.onnx", classifier())
    assert run("check", data, "--model", model) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "fits m.onnx: inputs x"


def test_a_model_with_its_weights_beside_it_is_fitted_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_rows(tmp_path / "d.npz", rows(8))
    onnx.save_model(classifier(), tmp_path / "m.onnx", save_as_external_data=True, size_threshold=0)
    assert run("check", tmp_path / "d.npz", "--model", tmp_path / "m.onnx") == 0
    assert "fits m.onnx: inputs x" in capsys.readouterr().out


def test_a_state_has_its_rows_first_as_in_requests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = model_of(
        [onnx.helper.make_node("Add", ["x", "state"], ["y"])],
        inputs={
            "x": (onnx.TensorProto.FLOAT, ["n", 4]),
            "state": (onnx.TensorProto.FLOAT, [2, "n", 4]),
            "rate": (onnx.TensorProto.INT64, []),
        },
        outputs={"y": (onnx.TensorProto.FLOAT, [2, "n", 4])},
    )
    held: Arrays = {"x": np.ones((6, 4), np.float32), "rate": np.ones(6, np.int64)}
    data = save_rows(tmp_path / "d.npz", held | {"state": np.ones((6, 2, 4), np.float32)})
    words = ("check", data, "--model", save(tmp_path / "m.onnx", model), "--task", "None")
    assert run(*words) == 0
    assert "fits m.onnx: inputs rate, state, x" in capsys.readouterr().out
    save_rows(data, held | {"state": np.ones((2, 6, 4), np.float32)})
    assert run(*words) == 65
    assert "arrays differ in rows (x 6, rate 6, state 2)" in capsys.readouterr().err


def test_a_fixed_batch_and_named_classes_are_no_obstacle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [
        onnx.helper.make_node("Softmax", ["x"], ["p"]),
        onnx.helper.make_node(
            "ZipMap", ["p"], ["scores"], domain="ai.onnx.ml", classlabels_strings=["a", "b", "c"]
        ),
    ]
    model = model_of(
        nodes,
        inputs={"x": (onnx.TensorProto.FLOAT, [8, 3])},
        outputs={"scores": (onnx.TensorProto.FLOAT, [])},
    )
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    key = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, [])
    maps = onnx.helper.make_map_type_proto(onnx.TensorProto.STRING, key)
    model.graph.output[0].type.CopyFrom(onnx.helper.make_sequence_type_proto(maps))
    held: Arrays = {"x": np.ones((6, 3), np.float32), "labels": np.array(list("abcabc"))}
    data, file = save_rows(tmp_path / "d.npz", held), save(tmp_path / "m.onnx", model)
    assert run("check", data, "--model", file) == 0
    assert "fits m.onnx: inputs x" in capsys.readouterr().out
    save_rows(data, held | {"labels": np.array(list("abcabz"))})
    assert run("check", data, "--model", file) == 65
    assert "z" in capsys.readouterr().err


def test_a_data_set_that_does_not_fit_is_refused_by_row_and_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = rows(20)
    held["x"][3, 5] = np.nan
    data = save_rows(tmp_path / "d.npz", held)
    assert run("check", data) == 65
    assert "array 'x' row 3, column 5: the value is NaN" in capsys.readouterr().err
    held["x"][3, 5], held["labels"][7] = 0, 9
    save_rows(data, held)
    assert run("check", data) == 0
    assert run("check", data, "--model", save(tmp_path / "m.onnx", classifier())) == 65
    assert "row 7: label 9 is outside 0..2" in capsys.readouterr().err


def test_what_does_not_exist_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("from-csv", tmp_path / "no.csv", "-o", tmp_path / "d.npz") == 65
    assert "no.csv: No such file or directory" in capsys.readouterr().err
