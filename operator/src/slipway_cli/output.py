"""The terminal: the one owner of rich and of YAML here. Plain text when it is not a terminal."""

import json
import sys
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from slipway_cli.view import Table

_COLOURS = {
    "Healthy": "green",
    "Passed": "green",
    "True": "green",
    "Degraded": "red",
    "Failed": "red",
    "False": "yellow",
    "Paused": "yellow",
    "Inconclusive": "yellow",
}


class Output:
    """Where commands print to."""

    def __init__(self, *, structured: str | None = None) -> None:
        self._structured = structured
        self._console = Console(highlight=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        """Whether a person is looking."""
        return self._console.is_terminal

    @property
    def structured(self) -> bool:
        """Whether JSON or YAML was asked for."""
        return self._structured is not None

    def value(self, value: Any) -> None:
        """A value as the JSON or YAML that was asked for."""
        if self._structured == "json":
            sys.stdout.write(json.dumps(value, indent=2) + "\n")
        else:
            sys.stdout.write(yaml.safe_dump(value, sort_keys=False))

    def table(self, table: Table) -> None:
        """A table, with colours for a person."""
        if not self.is_terminal:
            sys.stdout.write(table.plain() + "\n")
            return
        drawn = RichTable(box=None, pad_edge=False, header_style="bold")
        for column in table.columns:
            drawn.add_column(column, overflow="fold")
        for row in table.rows:
            drawn.add_row(*(Text(cell, style=_COLOURS.get(cell, "")) for cell in row))
        self._console.print(drawn)

    def line(self, text: str, *, style: str = "") -> None:
        """A line."""
        if self.is_terminal:
            self._console.print(Text(text, style=style))
        else:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    def heading(self, text: str) -> None:
        """A line that begins a part."""
        self.line(text, style="bold cyan")


def load_yaml(text: str) -> list[Any]:
    """All documents of a YAML text.

    Raises:
        ValueError: not YAML.
    """
    try:
        return [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
