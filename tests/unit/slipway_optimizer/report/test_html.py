"""report.html: one file, nothing from elsewhere, whatever the names in it."""

from html.parser import HTMLParser

import pytest

from slipway.artifacts.manifest import CandidateReport, Verdict
from slipway_optimizer.knee import Capacity, LoadPoint
from slipway_optimizer.report.document import GroupFigures, OptimizationReport, VariantFigures
from slipway_optimizer.report.html import render
from slipway_optimizer.stability import Check
from slipway_optimizer.workdir import NodeSensitivity, StoredTensor
from tests.unit.slipway_optimizer.report.test_markdown import REPORT

EVIL = '<script>alert("&")</script>'
TENSOR = StoredTensor(
    name=EVIL, shape=(4, 4), sqnr_db=40, zeros=0.1, limit=1.0, before=(1, 4, 9), after=(2, 3, 9)
)
VOID = {"meta", "circle", "rect", "line", "path", "polyline"}


def full() -> OptimizationReport:
    def row(name: str, **figures: float) -> CandidateReport:
        return CandidateReport.model_validate(
            {"name": name, "recipe": EVIL, "verdict": Verdict.PASSED, "reason": "r", **figures}
        )

    picked = VariantFigures(
        name="int8",
        scores={"f1": 0.5},
        samples_ms=(1.0, 2.0, 3.0),
        throughput=9,
        memory_bytes=5,
        load_ms=1,
        gzip_bytes=4,
        classes=(GroupFigures(name=EVIL, rows=3, baseline=1.0, candidate=0.5),),
        slices=(GroupFigures(name="de", rows=3, baseline=1.0, candidate=1.0),),
        tensors=(TENSOR,),
    )
    times = {"latency_ratio": 1.0, "latency_ratio_upper": 1.0, "score": 0.9, "size_bytes": 9}
    faster = times | {"latency_ratio": 0.5, "latency_ratio_upper": 0.6, "score_delta": -0.1}
    validation = REPORT.validation.model_copy(
        update={
            "verdict": Verdict.PASSED,
            "candidates": (row("fp32", **times), row("int8", **faster)),
        }
    )
    return REPORT.model_copy(
        update={
            "picked": "int8",
            "validation": validation,
            "notes": (EVIL,),
            "figures": (VariantFigures(name="fp32", samples_ms=(2.0, 4.0)), picked),
            "sensitivity": (NodeSensitivity(node=EVIL, sqnr_db=3.0),),
            "checks": (Check(name="Soak", passed=None, detail=EVIL),),
            "load": (LoadPoint(in_flight=1, rows_per_second=5, p95_ms=1, errors=0),),
            "capacity": Capacity(in_flight=1, rows_per_second=5),
            "by_threads": {"1": 5.0},
        }
    )


class Page(HTMLParser):
    """Balanced tags, headings, and what a browser would fetch or run."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.images: list[set[str]] = []
        self.foreign: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.foreign += [tag] if tag in ("script", "link", "img", "iframe", "object") else []
        self.foreign += [n for n, _ in attributes if n in ("src", "href") or n.startswith("on")]
        if tag == "svg":
            self.images.append({f"role={dict(attributes).get('role')}"})
        if self.images and tag in ("title", "desc"):
            self.images[-1].add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_the_page_is_whole_and_asks_nobody_for_anything() -> None:
    page = Page(render(full()))
    assert page.open == []
    assert page.foreign == []
    assert page.headings == [
        "Candidates", "Trade-offs", "Latency", "Answers by class", "Answers by slice",
        "Sensitivity by node", "Weights before and after", "Load", "Gates",
        "Stability of the pick", "Scores", "Inputs",
    ]  # fmt: skip
    assert len(page.images) == 7
    assert all(image == {"role=img", "title", "desc"} for image in page.images)


def test_names_of_users_are_text() -> None:
    text = render(full())
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 6


def test_a_refusal_shows_what_there_is() -> None:
    page = Page(render(REPORT))
    assert page.headings == ["Candidates", "Gates", "Inputs"]
    assert page.images == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(theme: str) -> None:
    text = render(REPORT)
    palette = (
        text[text.index(":root{") :] if theme == "light" else text[text.index("scheme:dark") :]
    )

    def luminance(name: str) -> float:
        code = palette.split(f"--{name}:#")[1].split(";")[0].split("}")[0].strip()
        code = code if len(code) == 6 else "".join(2 * c for c in code)
        parts = [int(code[n : n + 2], 16) / 255 for n in (0, 2, 4)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for ink in ("ink", "dim", "one", "good", "bad"):
        for paper in ("back", "card"):
            high, low = sorted((luminance(ink), luminance(paper)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (theme, ink, paper)
