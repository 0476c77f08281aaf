import json

from slipway.errors import Invalid, NotFound
from slipway_operator.kube.errors import error_of


def answer(**details: object) -> bytes:
    return json.dumps({"kind": "Status", "message": "no", **details}).encode()


def test_what_a_terminating_namespace_forbids_is_gone_and_no_fault_of_the_user() -> None:
    body = answer(
        reason="Forbidden",
        details={"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]},
    )
    error = error_of(403, body, what="create Event a/b", retry_after=None)
    assert (type(error), str(error)) == (NotFound, "create Event a/b: no")


def test_what_rbac_forbids_is_for_the_user_to_mend() -> None:
    body = answer(reason="Forbidden", details={"name": "b"})
    assert type(error_of(403, body, what="create Event a/b", retry_after=None)) is Invalid
