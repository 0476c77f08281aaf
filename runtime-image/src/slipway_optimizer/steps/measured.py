"""What was measured of each variant, kept as it is found: a killed step does not begin anew."""

from typing import Final

from pydantic import ConfigDict, ValidationError

from slipway.artifacts import layout
from slipway.errors import Invalid
from slipway.wire import WireModel
from slipway_optimizer.gates import Facts
from slipway_optimizer.workdir import WorkDir

_LIMIT: Final = 16 << 20
_ROWS: Final = "rows"


class _Record(WireModel):
    """One variant's facts; ``key`` stands for all that they depend on."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # equal answers are infinitely close

    key: str
    facts: Facts | None = None
    rows: int = 0


class Measured:
    """Facts in a folder of their own, by variant."""

    def __init__(self, work: WorkDir, inputs: str) -> None:
        """Nothing is read yet.

        Args:
            work: the folder that the steps share.
            inputs: stands for the request, the rows, the baseline and the machine.
        """
        self._work, self._inputs = work, inputs

    def rows(self, fit: int) -> int:
        """How many rows judge: as many as in the run before, for facts of other rows differ."""
        kept = self._read(_ROWS, self._inputs)
        if kept is not None and kept.rows:
            return kept.rows
        self._write(_ROWS, _Record(key=self._inputs, rows=fit))
        return fit

    def find(self, name: str, *, rows: int, digest: str | None) -> Facts | None:
        """What an earlier run of the same step found of the same file, if it came so far."""
        kept = self._read(f"variant-{name}", self._key(rows, digest))
        return None if kept is None else kept.facts

    def keep(self, facts: Facts, *, rows: int, digest: str | None) -> None:
        """For the next run, should this one be killed."""
        record = _Record(key=self._key(rows, digest), facts=facts)
        self._write(f"variant-{facts.name}", record)

    def _key(self, rows: int, digest: str | None) -> str:
        return layout.digest_of(layout.canonical([self._inputs, rows, digest]))

    def _read(self, name: str, key: str) -> _Record | None:
        try:
            data = self._work.open_bytes(self._work.measured / f"{name}.json", limit=_LIMIT)
            record = _Record.model_validate_json(data)
        except (OSError, Invalid, ValidationError):
            return None  # it is only measured once more
        return record if record.key == key else None

    def _write(self, name: str, record: _Record) -> None:
        self._work.measured.mkdir(parents=True, exist_ok=True)
        part = self._work.measured / f"{name}.part"
        part.write_text(record.model_dump_json())
        part.replace(self._work.measured / f"{name}.json")
