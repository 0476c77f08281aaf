"""Fields that a creation set, counted as applied before the first apply."""

from slipway_operator.kube.ownership import as_applied
from slipway_operator.plan.objects import Object


def entry(manager: str, operation: str, **fields: Object) -> Object:
    named = {f"f:{name}": value for name, value in fields.items()}
    return {"manager": manager, "operation": operation, "fieldsV1": named}


SCALER = {**entry("hpa", "Update", spec={"f:replicas": {}}), "subresource": "scale"}
STATUS = {**entry("slipway", "Update", status={}), "subresource": "status"}
OTHER = entry("slipway-patch", "Update", metadata={})


def test_our_creation_becomes_an_apply_and_others_stay_as_they_are() -> None:
    created = entry("slipway", "Update", spec={"f:a": {}})
    found = as_applied([created, SCALER, STATUS, OTHER])
    assert found == [entry("slipway", "Apply", spec={"f:a": {}}), SCALER, STATUS, OTHER]


def test_what_was_applied_already_joins_it() -> None:
    managed = [
        entry("slipway", "Apply", spec={"f:a": {}, "f:b": {"f:c": {}}}),
        entry("slipway", "Update", spec={"f:b": {"f:d": {}}}, metadata={}),
    ]
    together: Object = {"f:a": {}, "f:b": {"f:c": {}, "f:d": {}}}
    assert as_applied(managed) == [entry("slipway", "Apply", spec=together, metadata={})]


def test_without_a_creation_of_ours_there_is_nothing_to_change() -> None:
    assert as_applied([]) is None
    assert as_applied([entry("slipway", "Apply", spec={}), SCALER, STATUS, OTHER]) is None
