"""``report.html``: one file with plots, no script and nothing from elsewhere. Pure."""

import math
from collections.abc import Sequence
from html import escape
from typing import Final

from slipway.artifacts.manifest import CandidateReport, Verdict
from slipway.artifacts.table import candidate_cells
from slipway_optimizer.recipe import BASELINE
from slipway_optimizer.report.document import GroupFigures, OptimizationReport, VariantFigures
from slipway_optimizer.report.style import STYLE
from slipway_optimizer.report.svg import Dot, Words, bars, bins, lines, scatter, steps

_MOST_BARS: Final = 20
_MOST_TENSORS: Final = 3
_BINS: Final = 48
_MB: Final = 1e6
_TIMES: Final = "\u00d7"


def render(report: OptimizationReport) -> str:
    """The report as a page."""
    validation = report.validation
    title = f"{validation.verdict}: {report.picked or 'nothing is served'}"
    sections = [
        _head(report),
        _tiles(report),
        _section("Candidates", _candidates(report), wide=True),
        _section("Trade-offs", _trade_offs(report)),
        _section("Latency", _latency(report)),
        _section("Answers by class", _groups(report, "classes")),
        _section("Answers by slice", _groups(report, "slices")),
        _section("Sensitivity by node", _sensitivity(report)),
        _section("Weights before and after", _weights(report)),
        _section("Load", _load(report)),
        _section("Gates", _gates(report)),
        _section("Stability of the pick", _checks(report)),
        _section("Scores", _scores(report)),
        _section("Inputs", _inputs(report), wide=True),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">"
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>"
        f"{''.join(sections)}</main></body></html>\n"
    )


def _head(report: OptimizationReport) -> str:
    validation = report.validation
    kind = "good" if validation.verdict is Verdict.PASSED else "bad"
    name = report.source.uri.rsplit("/", 1)[-1]
    return (
        f'<header><p class="pill {kind}">{validation.verdict}</p>'
        f"<h1>{escape(report.picked or 'Nothing is served')}</h1>"
        f'<p class="lead"><strong>{escape(name)}</strong> · {escape(validation.reason)}: '
        f"{escape(validation.message)}</p></header>"
    )


def _tiles(report: OptimizationReport) -> str:
    picked = _candidate(report, report.picked)
    if picked is None:
        return ""
    tiles = []
    if picked.latency_ratio is not None:
        bound = picked.latency_ratio_upper or picked.latency_ratio
        tiles.append(("latency", _times(picked.latency_ratio), f"of fp32, at most {_times(bound)}"))
    if picked.size_bytes is not None:
        share = picked.size_bytes / max(1, report.source.size_bytes)
        tiles.append(("size", _times(share), f"{picked.size_bytes / _MB:.2f} MB"))
    if picked.score is not None and report.validation.metric is not None:
        delta = "" if picked.score_delta is None else f"{picked.score_delta:+.4f} to fp32"
        tiles.append((report.validation.metric.replace("_", " "), f"{picked.score:.4f}", delta))
    elif picked.sqnr_db is not None:
        tiles.append(("closeness", f"{picked.sqnr_db:.1f} dB", "signal to noise against fp32"))
    if report.capacity is not None:
        tiles.append(
            (
                "capacity",
                f"{report.capacity.rows_per_second:.0f}/s",
                f"a replica, {report.capacity.in_flight} in flight",
            )
        )
    cells = "".join(
        f'<div class="tile"><span>{escape(name)}</span><b>{value}</b>'
        f"<small>{escape(more)}</small></div>"
        for name, value, more in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _candidates(report: OptimizationReport) -> str:
    head, *rows = candidate_cells(report.validation.candidates, picked=report.picked)
    recipes = "".join(
        f"<dt>{escape(c.name)}</dt><dd>{escape(c.recipe)}</dd>"
        for c in report.validation.candidates
    )
    threads = report.hardware.threads
    return (
        _table(head, rows, strong=[row[0] == report.picked for row in rows])
        + f"<dl>{recipes}</dl><p class='note'>Latency of single rows with {threads} thread(s); the "
        "ratio is paired with fp32 in the same rounds, in brackets its upper 95 % bound. A dash is "
        "<em>not measured</em>.</p>"
    )


def _trade_offs(report: OptimizationReport) -> str:
    """Latency against quality, the area being size; then latency against size."""
    timed = [c for c in report.validation.candidates if c.latency_ratio is not None]
    if len(timed) < 2:
        return ""
    labelled = report.validation.metric is not None
    dots = []
    for candidate in timed:
        quality = candidate.score if labelled else _decibels(candidate)
        if quality is not None:
            dots.append(_dot(report, candidate, quality))
    words = Words(
        "Quality against latency",
        "Each variant by its latency ratio and its quality; larger dots are larger files. "
        "Better is up and to the left.",
        "latency, ratio to fp32 (left is faster)",
        (report.validation.metric or "").replace("_", " ") if labelled else "SQNR, dB",
    )
    sized = [_dot(report, c, (c.size_bytes or 0) / _MB) for c in timed if c.size_bytes is not None]
    size_words = Words(
        "Size against latency",
        "Each variant by its latency ratio and its size in megabytes. Better is down and left.",
        "latency, ratio to fp32 (left is faster)",
        "size, MB",
    )
    plots = [_figure(scatter(dots, words), words)] if len(dots) > 1 else []
    plots += [_figure(scatter(sized, size_words), size_words)] if len(sized) > 1 else []
    return "".join(plots)


def _dot(report: OptimizationReport, candidate: CandidateReport, quality: float) -> Dot:
    return Dot(
        name=candidate.name,
        x=candidate.latency_ratio or 1.0,
        y=quality,
        area=float(candidate.size_bytes or 0),
        marked=candidate.name == report.picked,
    )


def _decibels(candidate: CandidateReport) -> float | None:
    """fp32 equals itself: shown at the top of the scale."""
    return 120.0 if candidate.name == BASELINE else candidate.sqnr_db


def _latency(report: OptimizationReport) -> str:
    shown = [
        (f.name, f) for f in report.figures if f.samples_ms and f.name in (BASELINE, report.picked)
    ]
    if not shown:
        return ""
    everything = sorted(ms for _, f in shown for ms in f.samples_ms)
    limits = everything[0] * 0.95, everything[int(len(everything) * 0.98)] * 1.05
    series = [(name, bins(f.samples_ms, limits, _BINS)) for name, f in shown]
    words = Words(
        "Distribution of latency",
        "How many single runs took how long; the slowest 2 % are in the last bin.",
        "milliseconds",
        "runs",
    )
    rows = [
        [name, *(_ms(v) for v in (_percentile(f, share) for share in (0.5, 0.95, 0.99))),
         _count(f.throughput), _mb(f.memory_bytes), _ms(f.load_ms), _mb(f.gzip_bytes)]
        for name, f in shown
    ]  # fmt: skip
    head = ["variant", "p50", "p95", "p99", "rows/s in batches", "memory", "load", "compressed"]
    threads = ", ".join(f"{k}: {v:.0f}/s" for k, v in report.by_threads.items())
    more = f"<p class='note'>Rows a second of the pick by threads: {threads}</p>" if threads else ""
    return _figure(steps(series, limits, words), words) + _table(head, rows) + more


def _groups(report: OptimizationReport, kind: str) -> str:
    figures = _figures(report, report.picked)
    groups: tuple[GroupFigures, ...] = () if figures is None else getattr(figures, kind)
    changed = [g for g in groups if g.candidate != g.baseline][:_MOST_BARS]
    if not groups:
        return ""
    if not changed:
        return (
            f"<p>None of the {len(groups)} changed: the pick and fp32 are right equally often.</p>"
        )
    rows = [
        (g.name, 100 * (g.candidate - g.baseline), f"{_points(g)} ({g.rows} rows)") for g in changed
    ]
    words = Words(
        f"Difference to fp32 by {'class' if kind == 'classes' else 'slice'}",
        "Points gained or lost by the pick against fp32 on the same rows, the largest loss first.",
        "percentage points",
    )
    return _figure(bars(rows, words), words)


def _points(group: GroupFigures) -> str:
    return f"{100 * (group.candidate - group.baseline):+.1f}"


def _sensitivity(report: OptimizationReport) -> str:
    ranked = [s for s in report.sensitivity if s.sqnr_db < 200][:_MOST_BARS]
    if not ranked:
        return ""
    worst = max(s.sqnr_db for s in ranked)
    rows = [(s.node, max(worst - s.sqnr_db, 0.0), f"{s.sqnr_db:.1f} dB") for s in ranked]
    words = Words(
        "What each node costs when it alone is quantised",
        "Signal to noise of the output with one node quantised; longer bars hurt more.",
        "dB below the least sensitive of these",
    )
    return _figure(bars(rows, words), words)


def _weights(report: OptimizationReport) -> str:
    figures = _figures(report, report.picked)
    tensors = () if figures is None else figures.tensors
    if not tensors:
        return ""
    worst = sorted(tensors, key=lambda t: t.sqnr_db)
    plots = []
    for tensor in worst[:_MOST_TENSORS]:
        words = Words(
            f"{tensor.name} {list(tensor.shape)}: {tensor.sqnr_db:.1f} dB",
            "How many weights have which value, before and after.",
            "value",
            "weights, logarithm",
        )
        series = [
            (name, [math.log10(1 + count) for count in counts])
            for name, counts in (("before", tensor.before), ("after", tensor.after))
        ]
        plots.append(_figure(steps(series, (-tensor.limit, tensor.limit), words), words))
    rows = [
        [t.name, _TIMES.join(map(str, t.shape)), f"{t.sqnr_db:.1f}", f"{100 * t.zeros:.1f} %"]
        for t in worst[:200]
    ]
    table = _table(["tensor", "shape", "SQNR dB", "zeros"], rows)
    return "".join(plots) + _details(f"all {len(rows)} tensors", table)


def _load(report: OptimizationReport) -> str:
    if not report.load:
        return ""
    points = [(float(p.in_flight), p.rows_per_second) for p in report.load]
    words = Words(
        "Load test of the pick",
        "Rows a second by requests at once; the marked one is the most that still paid.",
        "requests in flight",
        "rows a second",
    )
    mark = None if report.capacity is None else float(report.capacity.in_flight)
    rows = [
        [str(p.in_flight), f"{p.rows_per_second:.1f}", _ms(p.p95_ms), str(p.errors)]
        for p in report.load
    ]
    table = _table(["in flight", "rows/s", "p95", "errors"], rows)
    return _figure(lines(points, words, mark=mark), words) + table


def _gates(report: OptimizationReport) -> str:
    rows = [[g.name, g.bound, str(g.verdict), g.message] for g in report.validation.gates]
    return _table(["gate", "bound", "verdict", "what was found"], rows) if rows else ""


def _checks(report: OptimizationReport) -> str:
    words = {True: "passed", False: "failed", None: "not applicable"}
    rows = [[check.name, words[check.passed], check.detail] for check in report.checks]
    return _table(["check", "result", "what was tried"], rows) if rows else ""


def _scores(report: OptimizationReport) -> str:
    shown = [f for f in report.figures if f.scores]
    if not shown:
        return ""
    names = list(shown[0].scores)
    rows = [[f.name, *(f"{f.scores[name]:.4f}" for name in names)] for f in shown]
    return _table(["variant", *(name.replace("_", " ") for name in names)], rows)


def _inputs(report: OptimizationReport) -> str:
    source, machine, dataset = report.source, report.hardware, report.dataset
    rows = [
        ("source", f"{source.uri} ({source.model_format}, {source.size_bytes} bytes)"),
        ("source digest", source.digest),
        (
            "data set",
            "none: judged by closeness to the source on generated rows"
            if dataset is None
            else f"{dataset.uri} ({dataset.rows} rows, {dataset.calibration_rows} of them "
            f"calibrate), {dataset.digest}",
        ),
        ("CPU", f"{machine.cpu_model}, {machine.node_class}: {' '.join(machine.cpu_flags)}"),
        ("toolchain", ", ".join(f"{k} {v}" for k, v in sorted(report.toolchain.items()))),
        ("input key", report.input_key),
        ("seconds", ", ".join(f"{k} {v:.1f}" for k, v in report.seconds.items())),
        *(("conversion", f"{k}: {v}") for k, v in report.conversion.items()),
        *(("note", note) for note in report.notes),
    ]
    listed = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in rows)
    return f"<dl>{listed}</dl>"


def _section(title: str, body: str, *, wide: bool = False) -> str:
    if not body:
        return ""
    kind = ' class="wide"' if wide else ""
    return f"<section{kind}><h2>{escape(title)}</h2>{body}</section>"


def _figure(plot: str, words: Words) -> str:
    return f"<figure>{plot}<figcaption>{escape(words.title)}</figcaption></figure>"


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, strong: Sequence[bool] = ()
) -> str:
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f"<tr{' class=strong' if number < len(strong) and strong[number] else ''}>"
        f'<th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for number, row in enumerate(rows)
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(head[0])} table">'
        f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _candidate(report: OptimizationReport, name: str | None) -> CandidateReport | None:
    return next((c for c in report.validation.candidates if c.name == name), None)


def _figures(report: OptimizationReport, name: str | None) -> VariantFigures | None:
    return next((f for f in report.figures if f.name == name), None)


def _percentile(figures: VariantFigures, share: float) -> float:
    ordered = sorted(figures.samples_ms)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _times(ratio: float) -> str:
    return f"{ratio:.2f}{_TIMES}"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"


def _mb(value: int | None) -> str:
    return "-" if value is None else f"{value / _MB:.1f} MB"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
