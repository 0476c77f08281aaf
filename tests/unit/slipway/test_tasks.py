from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slipway.artifacts.manifest import Verdict
from slipway.contract import TERMINATION_MESSAGE_LIMIT
from slipway.errors import Invalid
from slipway.tasks import (
    ArtifactReference,
    CandidateSummary,
    JobReport,
    ReplayReport,
    StepFailure,
    format_report,
    parse_report,
)
from tests.support.builders import job_report, replay_report

M = TypeVar("M")
AnyReport = JobReport | StepFailure | ReplayReport


def texts(limit: int) -> st.SearchStrategy[str]:
    """Texts of any kind, and long ones of what JSON writes at greatest length."""
    any_text = st.text(max_size=limit)
    long = st.builds(
        lambda char, n: char * n,
        st.sampled_from(('"', "\\", "\x00", "\n", "é", "€", "\U0001f600", "a")),
        st.integers(0, limit),
    )
    return any_text | long


def made(kind: Callable[..., M], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[M]:
    return st.fixed_dictionaries(parts).map(lambda values: kind(**values))


URIS = st.integers(10, 1000).map(lambda n: "s3://bucket/" + "k" * n)
DIGESTS = st.sampled_from("abc").map(lambda letter: "sha256:" + letter * 64)
CANDIDATES = made(
    CandidateSummary,
    name=texts(63),
    verdict=st.sampled_from(Verdict),
    reason=texts(3000),
    score=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
REPORTS: st.SearchStrategy[Any] = st.one_of(
    made(
        JobReport,
        artifact=st.none()
        | made(
            ArtifactReference,
            manifest_uri=URIS,
            manifest_digest=DIGESTS,
            variant=st.just("v" * 63),
            model_digest=DIGESTS,
            source_digest=DIGESTS,
            size_bytes=st.integers(0, 1 << 40),
        ),
        cache_hit=st.booleans(),
        verdict=st.sampled_from(Verdict),
        reason=texts(6000),
        message=texts(6000),
        report_uri=st.none() | URIS,
        node_class=texts(100),
        candidates=st.lists(CANDIDATES, max_size=20).map(tuple),
        seconds=st.dictionaries(texts(10), st.floats(0, 1e6), max_size=5),
    ),
    made(StepFailure, reason=texts(6000), message=texts(6000), transient=st.booleans()),
    made(
        ReplayReport,
        samples=st.integers(0, 1000),
        agreeing=st.integers(0, 1000),
        stable_errors=st.just(0),
        canary_errors=st.just(0),
        message=texts(6000),
    ),
)


@given(REPORTS)
@settings(max_examples=300, deadline=None)
def test_any_report_fits_a_termination_message_and_keeps_what_decides(report: AnyReport) -> None:
    text = format_report(report)
    assert len(text.encode()) <= TERMINATION_MESSAGE_LIMIT
    found = parse_report(text)
    assert type(found) is type(report)
    match found, report:
        case JobReport(), JobReport():
            assert (found.artifact, found.verdict, found.cache_hit) == (
                report.artifact,
                report.verdict,
                report.cache_hit,
            )
        case StepFailure(), StepFailure():
            assert found.transient == report.transient
        case _:
            pass


@pytest.mark.parametrize(
    "report",
    [
        job_report(),
        replay_report(message="a note"),
        StepFailure(reason="SourceNotFound", message="no such key", transient=False),
    ],
)
def test_a_report_that_fits_is_read_back_whole(report: AnyReport) -> None:
    assert parse_report(format_report(report)) == report


def test_too_many_candidates_go_before_the_message_is_cut() -> None:
    many = tuple(
        CandidateSummary(name=f"variant-{n}", verdict=Verdict.PASSED, reason="R" * 200)
        for n in range(30)
    )
    report = job_report(candidates=many)
    found = parse_report(format_report(report))
    assert found == report.model_copy(update={"candidates": many[:4]})


@pytest.mark.parametrize(
    "text", ["", "{", "null", "[]", "Killed", '{"kind":"Other"}', '{"kind":"StepFailure"}']
)
def test_what_another_program_left_is_no_report(text: str) -> None:
    with pytest.raises(Invalid, match="unreadable termination message"):
        parse_report(text)
