"""Candidates that train, as words of a command line."""

import pytest

from slipway.api.v1alpha1.optimization import (
    Candidate,
    Importance,
    Pruning,
    PruningMethod,
    Quantization,
    QuantizationMode,
)
from slipway.api.v1alpha1.training import Distillation, StudentLoader, Training
from slipway.errors import Invalid
from slipway_optimizer.wishes import parse_candidate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "small:student=0.5,depth=0.5,latency=0.4,lambda=0.1+0.3,target=0.9,epochs=5,rate=0.01",
            Candidate(
                name="small",
                distillation=Distillation(
                    width="0.5",
                    depth="0.5",
                    latency_ratio="0.4",
                    lambdas=("0.1", "0.3"),
                    target_score="0.9",
                ),
                training=Training(epochs=5, learning_rate="0.01"),
            ),
        ),
        (
            "fast:student,epochs=5",
            Candidate(name="fast", distillation=Distillation(), training=Training(epochs=5)),
        ),
        (
            "thin:prune=Structured/50,importance=Gradient",
            Candidate(
                name="thin",
                pruning=Pruning(
                    method=PruningMethod.STRUCTURED, value="50", importance=Importance.GRADIENT
                ),
            ),
        ),
        (
            "own:loader=s3://b/student.py,function=make,weights=s3://b/w.pt,lambda=10,target=0.9",
            Candidate(
                name="own",
                distillation=Distillation(
                    loader=StudentLoader(
                        storage_uri="s3://b/student.py", function="make", weights_uri="s3://b/w.pt"
                    ),
                    lambdas=("10",),
                    target_score="0.9",
                ),
            ),
        ),
        (
            "learnt:mode=Static,epochs=3",
            Candidate(
                name="learnt",
                quantization=Quantization(mode=QuantizationMode.STATIC),
                training=Training(epochs=3),
            ),
        ),
    ],
)
def test_a_candidate_that_trains_is_written_in_words(text: str, expected: Candidate) -> None:
    found = parse_candidate(text)
    assert found == expected
    assert found.trains


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:student=0", "width is 0: use more than 0 and at most 1"),
        ("a:latency=1.5", "latencyRatio is 1.5: use more than 0 and at most 1"),
        ("a:student=0.5,lambda=0.1+0", "lambdas holds a number that is not above 0"),
        ("a:student=0.5,epochs=0", "greater than or equal to 1"),
        ("a:mode=Static,epochs=3,rate=2", "learningRate is 2"),
        ("a:mode=Dynamic,epochs=3", "nothing that training could train"),
        ("a:epochs=3", "changes nothing"),
        ("a:prune=Structured/100", "for a percentage less than 100"),
        ("a:prune=Threshold/0.1,importance=Entropy", "use Percentile or Structured"),
        ("a:function=make", "function is of a loader: add loader=FILE"),
        ("a:student=0.5,weights=w.pt", "weights is of a loader: add loader=FILE"),
        ("a:loader=s3://b/s.py,student=0.5", "width, depth and latencyRatio cut a student from"),
        ("a:loader=s.py", "should match pattern"),
        ("a:importance=Entropy,precision=FP16", "add prune=Percentile/50"),
    ],
)
def test_a_wish_that_cannot_be_trained_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse_candidate(text)


def test_paths_of_a_loader_become_addresses() -> None:
    found = parse_candidate("own:loader=s.py,weights=w.pt", lambda path: f"file:///here/{path}")
    loader = StudentLoader(storage_uri="file:///here/s.py", weights_uri="file:///here/w.pt")
    assert found == Candidate(name="own", distillation=Distillation(loader=loader))


def test_zeroes_by_magnitude_need_no_training() -> None:
    assert not parse_candidate("slim:prune=Percentile/50").trains
    assert parse_candidate("slim:prune=Percentile/50,epochs=2").trains
