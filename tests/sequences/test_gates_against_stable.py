"""Gates against what is served now: each Job is told which artifact that is."""

import json

from slipway.tasks import OptimizationRequest
from tests.support.builders import model_deployment
from tests.support.simulation import Simulation, healthy, revision_of, rolled_out

GATES = [
    {"name": "kept", "metric": "accuracy", "maxDegradation": "0.005", "against": "Stable"},
]
DATASET = {"storageUri": "s3://data/rows.npz"}


def requests(simulation: Simulation) -> dict[str, OptimizationRequest]:
    """Revision -> what its optimization Job was asked."""
    return {
        revision_of(job): OptimizationRequest.model_validate(
            json.loads(job["spec"]["template"]["metadata"]["annotations"]["slipway.dev/request"])
        )
        for job in simulation.objects("Job")
        if job["metadata"]["labels"]["app.kubernetes.io/component"] == "optimizer"
    }


def test_the_first_job_has_nothing_to_compare_with_and_the_next_has_what_is_served() -> None:
    simulation = Simulation(model_deployment(validation={"dataset": DATASET, "gates": GATES}))
    simulation.run(healthy)
    first = simulation.status.stable
    assert first is not None
    assert requests(simulation)[first.revision].stable is None

    simulation.new_model("v2")
    simulation.run(rolled_out(2))
    second = simulation.status.stable
    assert second is not None
    asked = requests(simulation)[second.revision]
    assert asked.stable is not None
    assert asked.stable.manifest_uri.startswith("s3://")
    assert asked.stable.manifest_digest is not None
    assert asked.stable.artifacts_uri == asked.artifacts_uri

    simulation.new_model("v3")
    simulation.run(rolled_out(3))
    third = simulation.status.stable
    assert third is not None
    newest = requests(simulation)[third.revision]
    assert newest.stable is not None


def test_without_such_a_gate_a_job_is_told_nothing() -> None:
    simulation = Simulation(model_deployment())
    simulation.run(healthy)
    simulation.new_model("v2")
    simulation.run(rolled_out(2))
    assert [asked.stable for asked in requests(simulation).values()] == [None, None]
