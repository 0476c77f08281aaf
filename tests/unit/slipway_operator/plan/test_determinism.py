"""``plan`` over whole lifecycles: same input, same plan; carried out, nothing is left to write."""

import pytest

from slipway_operator.plan.plan import plan
from tests.support.builders import config, model_deployment
from tests.support.simulation import BAD, GOOD, Simulation, healthy, rolled_out
from tests.support.worlds import observed, served


@pytest.mark.parametrize("bad", [False, True])
def test_once_it_is_settled_nothing_is_written(bad: bool) -> None:
    simulation = Simulation(model_deployment(replicas=2))
    simulation.run(healthy)
    simulation.traffic = lambda revision, is_canary: BAD if bad and is_canary else GOOD
    simulation.new_model("v2")
    simulation.run((lambda s: s.phase == "Degraded") if bad else rolled_out(2))
    simulation.settle(15)
    before = len(simulation.writes)
    simulation.settle(60)
    assert simulation.writes[before:] == []


def test_the_same_input_gives_the_same_plan() -> None:
    assert plan(observed(served()), config()) == plan(observed(served()), config())
