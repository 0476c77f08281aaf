"""``report.md``: the same for people. Pure."""

from typing import Final

from slipway.artifacts.table import candidate_cells
from slipway_optimizer.report.document import OptimizationReport


def render(report: OptimizationReport) -> str:
    """The report as Markdown."""
    validation = report.validation
    head, *rows = candidate_cells(validation.candidates, picked=report.picked)
    lines = [
        f"# {validation.verdict}: {report.picked or 'nothing is served'}",
        "",
        f"{validation.reason}: {validation.message}",
        "",
        "## Candidates",
        "",
        _row(head),
        _row(["---"] * len(head)),
        *(_row(row) for row in rows),
        "",
        *(f"- {c.name}: {c.recipe}" for c in validation.candidates),
        "",
        _LEGEND.format(threads=report.hardware.threads),
        "",
        *_gates(report),
        *_pick(report),
        "## Inputs",
        "",
        *_inputs(report),
    ]
    return "\n".join(lines) + "\n"


_LEGEND: Final = (
    "Latency of single rows with {threads} thread(s); the ratio is paired with fp32 in the same "
    "rounds, in brackets its upper 95 % bound. A dash is *not measured*."
)


def _inputs(report: OptimizationReport) -> list[str]:
    source, machine = report.source, report.hardware
    size = f"{source.model_format}, {source.size_bytes} bytes"
    versions = ", ".join(f"{name} {number}" for name, number in sorted(report.toolchain.items()))
    lines = [
        f"- source: `{source.uri}` ({size}, `{source.digest}`)",
        f"- data set: {_dataset(report)}",
        f"- CPU: {machine.cpu_model} ({machine.node_class}; {' '.join(machine.cpu_flags)})",
        f"- toolchain: {versions}",
        f"- input key: `{report.input_key}`",
    ]
    if report.conversion:
        figures = ", ".join(f"{name} {value}" for name, value in report.conversion.items())
        lines.append(f"- conversion compared with the source: {figures}")
    return lines + [f"- {note}" for note in report.notes]


def _gates(report: OptimizationReport) -> list[str]:
    gates = report.validation.gates
    if not gates:
        return []
    table = [_row(["gate", "bound", "verdict", "what was found"]), _row(["---"] * 4)]
    table += [_row([g.name, g.bound, g.verdict, g.message]) for g in gates]
    return ["## Gates", "", *table, ""]


def _pick(report: OptimizationReport) -> list[str]:
    """What was found out about the pick alone; the plots are in report.html."""
    lines = [f"- {c.name} {_WORDS[c.passed]}: {c.detail}" for c in report.checks]
    if report.capacity is not None:
        most = report.capacity
        lines.append(
            f"- capacity of a replica: {most.rows_per_second:.1f} rows a second with "
            f"{most.in_flight} in flight"
        )
    for found in report.figures:
        if found.name == report.picked and found.memory_bytes is not None:
            megabytes = found.memory_bytes / 1e6
            lines.append(f"- memory {megabytes:.1f} MB, loaded in {found.load_ms or 0:.0f} ms")
    if report.sensitivity:
        worst = report.sensitivity[:_MOST_NODES]
        named = ", ".join(f"`{s.node}` {s.sqnr_db:.1f} dB" for s in worst)
        lines.append(f"- most sensitive nodes, each quantised alone: {named}")
    return ["## The pick", "", *lines, ""] if lines else []


_MOST_NODES: Final = 5
_WORDS: Final = {True: "passed", False: "FAILED", None: "does not apply"}


def _dataset(report: OptimizationReport) -> str:
    dataset = report.dataset
    if dataset is None:
        return "none: judged by closeness to the source on generated rows"
    judged = dataset.rows - dataset.calibration_rows
    return (
        f"`{dataset.uri}` ({dataset.rows} rows, {dataset.calibration_rows} calibrate, {judged} "
        f"judge, `{dataset.digest}`)"
    )


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
