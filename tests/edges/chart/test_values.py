"""Values: each is used, known to the schema, and refused by name when it means nothing."""

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from tests.support import helm as real
from tests.support.charts import (
    Render,
)
from tests.support.helm import CHART, Json, Refused

pytestmark = pytest.mark.skipif(real.program() is None, reason=real.MISSING)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"replicaCont": 2}, "replicaCont"),
        ({"image": {"tags": "1"}}, "tags"),
        ({"storage": {"defaults": {"storageUri": "http://x"}}}, "storageUri"),
        ({"watchNamespaces": "team-a"}, "watchNamespaces"),
        ({"replicaCount": 0}, "replicaCount"),
        ({"logLevel": "TRACE"}, "logLevel"),
        ({"resyncSeconds": 5}, "resyncSeconds"),
        ({"commonLabels": {"app.kubernetes.io/name": "x"}}, "app.kubernetes.io/name"),
    ],
)
def test_a_value_that_means_nothing_is_refused_by_name(
    values: Json, says: str, render: Render
) -> None:
    with pytest.raises(Refused, match=says):
        render(values)


def paths(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from paths(child, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix


def test_every_value_is_used_by_a_template() -> None:
    """A value that does nothing is a promise that is not kept."""
    text = "".join(path.read_text() for path in (CHART / "templates").rglob("*"))
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    unused = [path for path in paths(values) if not re.search(rf"\b{path.split('.')[-1]}\b", text)]
    whole = {"requests", "limits", "cpu", "memory"}  # `resources` is copied as it is
    assert [path for path in unused if path.split(".")[-1] not in whole] == []


def test_the_schema_knows_every_value_and_refuses_any_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    jsonschema.validate(values, schema)

    def objects(node: Json, value: Any, path: str) -> Iterator[str]:
        if "properties" in node:
            assert node["additionalProperties"] is False, path
            assert set(value) <= set(node["properties"]), path
            for key, child in value.items():
                yield from objects(node["properties"][key], child, f"{path}.{key}")
        yield path

    assert len(list(objects(schema, values, ""))) > 50
