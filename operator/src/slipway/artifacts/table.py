"""The candidates table, for terminals and reports. Pure."""

from collections.abc import Sequence

from slipway.artifacts.manifest import CandidateReport, Verdict

_HEAD = (
    "candidate", "size", "score", "p50 ms", "p95 ms", "ratio", "SQNR dB", "verdict", "reason",
)  # fmt: skip
_LEFT = frozenset({"candidate", "verdict", "reason", "model", "pick", "result"})


def candidate_cells(
    candidates: Sequence[CandidateReport], *, picked: str | None
) -> list[list[str]]:
    """Header and rows. What was not measured is ``-``."""
    return [list(_HEAD), *(_cells(c, served=c.name == picked) for c in candidates)]


def format_table(rows: Sequence[Sequence[str]], *, width: int | None = None) -> str:
    """Aligned columns; numbers to the right. ``width`` cuts lines for a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    head = rows[0]
    lines = [
        "  ".join(
            cell.ljust(size) if head[column] in _LEFT else cell.rjust(size)
            for column, (cell, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if width is not None:
        lines = [line if len(line) <= width else line[: width - 1] + "…" for line in lines]
    return "\n".join(lines)


def _cells(candidate: CandidateReport, *, served: bool) -> list[str]:
    return [
        candidate.name,
        _bytes(candidate.size_bytes),
        _number(candidate.score, "{:.4f}"),
        _number(candidate.latency_p50_ms, "{:.3g}"),
        _number(candidate.latency_p95_ms, "{:.3g}"),
        _ratio(candidate),
        _number(candidate.sqnr_db, "{:.1f}"),
        "Picked" if served else candidate.verdict.value,
        candidate.reason if served or candidate.verdict is not Verdict.PASSED else "",
    ]


def _ratio(candidate: CandidateReport) -> str:
    if candidate.latency_ratio is None:
        return "-"
    upper = candidate.latency_ratio_upper
    return f"{candidate.latency_ratio:.2f}" + ("" if upper is None else f" (<={upper:.2f})")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _bytes(size: int | None) -> str:
    if size is None:
        return "-"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            return f"{size / scale:.2f} {unit}"
    return f"{size} B"
