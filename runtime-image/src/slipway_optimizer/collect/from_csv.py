"""A table with a header line -> arrays. Whatever does not fit is named by row and column."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from slipway.errors import Invalid
from slipway_optimizer.arrays import Array, Arrays
from slipway_optimizer.tensors import FLOATS, NUMPY_OF

LABELS: Final = "labels"
_COLUMNS: Final = re.compile(r"([^=:]+)(?::([A-Z0-9]+))?=(.+)")


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of one array: [n, columns]."""

    name: str
    datatype: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """How to read it.

    Attributes:
        arrays: none means that all columns but the labels' are the FP32 array ``X``.
        labels: a column; ``None`` for no labels.
    """

    arrays: tuple[Columns, ...] = ()
    labels: str | None = None
    separator: str = ","


def parse_columns(text: str) -> Columns:
    """``X:FP32=a,b`` -> an array of two columns.

    Raises:
        Invalid: not of that form.
    """
    found = _COLUMNS.fullmatch(text)
    if found is None or (found[2] or "FP32") not in NUMPY_OF:
        raise Invalid(
            f"--input '{text[:80]}' is not NAME:TYPE=COLUMN,...: for instance X:FP32=age,income"
        )
    names = tuple(part.strip() for part in found[3].split(","))
    return Columns(found[1].strip(), found[2] or "FP32", names)


def read(path: Path, table: Table) -> Arrays:
    """The arrays of a file.

    Raises:
        Invalid: naming the line and the column.
        OSError: it cannot be read.
    """
    if len(table.separator) != 1:
        raise Invalid(f"--separator is '{table.separator}': use one character")
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = _rows(csv.reader(file, delimiter=table.separator))
        try:
            header = next(rows, (0, []))[1]
            body = [(line, cells) for line, cells in rows if cells]
        except (csv.Error, UnicodeDecodeError) as error:
            raise Invalid(f"{path.name} is no table in UTF-8: {error}") from error
    if not body:
        raise Invalid(f"{path.name} has no rows below its header line")
    places = {name.strip(): number for number, name in enumerate(header)}
    if len(places) < len(header):
        raise Invalid(f"{path.name} names a column twice in its header line")
    for line, cells in body:
        if len(cells) != len(header):
            raise Invalid(f"line {line} has {len(cells)} cells, but the header has {len(header)}")
    wanted = table.arrays or (_others(places, table.labels),)
    arrays = {each.name: _array(each, places, body) for each in wanted}
    if table.labels is not None:
        arrays[LABELS] = _labels(table.labels, places, body)
    return arrays


def _rows(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    yield from enumerate(reader, start=1)


def _others(places: dict[str, int], labels: str | None) -> Columns:
    names = tuple(name for name in places if name != labels)
    if not names:
        raise Invalid("no column is left for the input X: name the inputs with --input")
    return Columns("X", "FP32", names)


_Body = Sequence[tuple[int, list[str]]]


def _array(wanted: Columns, places: dict[str, int], body: _Body) -> Array:
    cells = [[cells[_place(name, places)] for name in wanted.columns] for _, cells in body]
    if wanted.datatype == "BYTES":
        return np.array(cells, dtype=np.str_)
    dtype = NUMPY_OF[wanted.datatype]
    kind = float if wanted.datatype in FLOATS else int
    values = np.empty((len(cells), len(wanted.columns)), dtype)
    for row, (line, _) in enumerate(body):
        for column, name in enumerate(wanted.columns):
            text = cells[row][column].strip()
            values[row, column] = _number(text, kind, dtype, f"line {line}, column '{name}'")
    return values


def _number(
    text: str, kind: type[float] | type[int], dtype: "np.dtype[np.generic]", where: str
) -> float | int:
    if not text:
        raise Invalid(f"{where}: the cell is empty: fill it in, or leave the row out")
    try:
        value = kind(text)
        with np.errstate(over="ignore"):
            held = np.array(value).astype(dtype)
    except (ValueError, OverflowError) as error:
        raise Invalid(f"{where}: '{text[:40]}' is no {dtype} number") from error
    if not np.isfinite(held) or (kind is int and int(held) != value):
        raise Invalid(f"{where}: '{text[:40]}' does not fit {dtype}")
    return value


def _labels(name: str, places: dict[str, int], body: _Body) -> Array:
    """Whole numbers where all are; numbers where all are; else text."""
    place = _place(name, places)
    texts = [cells[place].strip() for _, cells in body]
    for (line, _), text in zip(body, texts, strict=True):
        if not text:
            raise Invalid(f"line {line}, column '{name}': the label is missing")
    for kind in (int, float):
        try:
            return np.array([kind(text) for text in texts])
        except (ValueError, OverflowError):
            continue
    return np.array(texts, dtype=np.str_)


def _place(name: str, places: dict[str, int]) -> int:
    if name not in places:
        there = ", ".join(list(places)[:12])
        raise Invalid(f"there is no column '{name}', but {there}: check the header line")
    return places[name]
