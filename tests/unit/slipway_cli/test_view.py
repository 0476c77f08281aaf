"""What the command line prints of resources, as golden transcripts of a simulated lifecycle."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from slipway.api.v1alpha1.status import Status
from slipway_cli.view import age, describe, progress_line, size, table
from slipway_operator.plan.objects import format_time
from tests.support.builders import model_deployment
from tests.support.simulation import BAD, GOOD, Simulation, healthy

GOLDEN = Path(__file__).parent / "golden"


def half_way(status: Status) -> bool:
    return status.rollout is not None and status.rollout.weight.desired == 50


def before_anything() -> Simulation:
    return Simulation(model_deployment())


def at_rest() -> Simulation:
    simulation = before_anything()
    simulation.run(healthy)
    return simulation


def during_a_rollout() -> Simulation:
    simulation = at_rest()
    simulation.new_model("v2")
    simulation.run(half_way)
    return simulation


def after_a_rollback() -> Simulation:
    simulation = at_rest()
    simulation.traffic = lambda revision, is_canary: BAD if is_canary else GOOD
    simulation.new_model("v2")
    simulation.run(lambda status: status.phase == "Degraded")
    simulation.settle(30)
    return simulation


STORIES: dict[str, Callable[[], Simulation]] = {
    "before-anything": before_anything,
    "at-rest": at_rest,
    "during-a-rollout": during_a_rollout,
    "after-a-rollback": after_a_rollback,
}


def printed(simulation: Simulation) -> str:
    now = simulation.clock.now()
    rows = table([simulation.live], now, all_namespaces=True).plain()
    story = "\n".join(describe(simulation.live, simulation.objects("Event"), now))
    return f"{rows}\n\n{story}\n"


@pytest.mark.parametrize("name", sorted(STORIES))
def test_get_and_describe_tell_the_story(name: str) -> None:
    path = GOLDEN / f"{name}.txt"
    found = printed(STORIES[name]())
    if os.environ.get("SLIPWAY_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


def test_every_golden_transcript_is_compared() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(STORIES)


def test_a_progress_line_is_the_phase_and_why() -> None:
    assert progress_line(at_rest().status).startswith("Healthy: ")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d")],
)
def test_an_age_is_short(seconds: int, shown: str) -> None:
    now = before_anything().clock.now()
    assert age(format_time(now - timedelta(seconds=seconds)), now) == shown


def test_sizes_are_megabytes_or_kilobytes() -> None:
    assert [size(n) for n in (None, 999, 99_999, 3_160_000)] == [
        "-",
        "1.0 kB",
        "100.0 kB",
        "3.16 MB",
    ]
