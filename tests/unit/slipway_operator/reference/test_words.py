"""The reference names what the operator really says: nothing is missing, nothing is stale."""

import ast
from collections.abc import Iterator
from pathlib import Path

import slipway_operator
from slipway.api.v1alpha1.status import ConditionType, Phase
from slipway.contract import ServerMetric
from slipway_operator.reference.words import (
    CONDITIONS,
    EVENTS,
    PHASES,
    REASONS,
    SERVER_METRICS,
)

SOURCE = Path(slipway_operator.__file__).parent

# Where in each call the reason stands, and whether it ends in a condition or in an Event.
REASON_ARGUMENTS = {
    "Fact": 2, "Trouble": 0, "Waiting": 0, "stalled": 1, "_roll_back": 1, "reject": 1,
}  # fmt: skip
EVENT_ARGUMENTS = {"Note": 1}
# Reasons that are the kubelet's or the scheduler's own, or set by assignment.
BY_HAND = {
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError", "Unschedulable",
    "CacheHit", "VariantSelected", "InProgress", "NoReadyPods", "ReportLost",
}  # fmt: skip
EVENTS_BY_HAND = {"CanaryStarted", "DeploymentStarted"}


def calls() -> Iterator[tuple[str, list[ast.expr]]]:
    for path in sorted([*SOURCE.glob("plan/**/*.py"), *SOURCE.glob("control/*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = str(getattr(node.func, "id", "") or getattr(node.func, "attr", ""))
                yield name, node.args


def literals(arguments: dict[str, int]) -> set[str]:
    """String literals at these places of these calls, both branches of a condition."""
    found = set()
    for name, args in calls():
        place = arguments.get(name)
        if place is None or len(args) <= place:
            continue
        for node in ast.walk(args[place]):
            if isinstance(node, ast.Constant) and str(node.value)[:1].isupper():
                found.add(str(node.value))
    return found


def test_every_phase_condition_and_metric_is_explained() -> None:
    assert set(PHASES) == set(Phase)
    assert set(CONDITIONS) == set(ConditionType)
    assert set(SERVER_METRICS) == set(ServerMetric)


def test_every_reason_that_the_operator_gives_is_explained_and_no_other() -> None:
    assert literals(REASON_ARGUMENTS) | BY_HAND == set(REASONS)


def test_every_event_is_explained_and_no_other() -> None:
    assert literals(EVENT_ARGUMENTS) | EVENTS_BY_HAND == set(EVENTS)


def test_reasons_set_by_hand_are_really_in_the_source() -> None:
    text = "".join(path.read_text() for path in SOURCE.glob("plan/**/*.py"))
    ours = (BY_HAND | EVENTS_BY_HAND) - {"Unschedulable"}
    assert [reason for reason in ours if f'"{reason}"' not in text] == []
    assert '"Unschedulable"' in text
