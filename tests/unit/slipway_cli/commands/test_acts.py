import pytest

from slipway.api.v1alpha1.status import RejectedRevision, RevisionStatus, Status
from slipway.errors import Invalid
from slipway_cli.commands.acts import subject

REFUSED = RejectedRevision(revision="fraud-2", reason="R", message="m", time="t")


@pytest.mark.parametrize("command", ["promote", "abort"])
def test_a_running_canary_is_meant(command: str) -> None:
    assert subject(command, "fraud", Status(canary=RevisionStatus(revision="fraud-2"))) == "fraud-2"
    with pytest.raises(Invalid, match=f"there is nothing to {command}"):
        subject(command, "fraud", Status(stable=RevisionStatus(revision="fraud-1")))


def test_a_retry_means_the_refused_revision_that_the_spec_asks_for() -> None:
    asked = Status(target_revision="fraud-2", rejected_revisions=(REFUSED,))
    assert subject("retry", "fraud", asked) == "fraud-2"
    for other in (Status(), Status(target_revision="fraud-3", rejected_revisions=(REFUSED,))):
        with pytest.raises(Invalid, match="there is nothing to retry"):
            subject("retry", "fraud", other)
