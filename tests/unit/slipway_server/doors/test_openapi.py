import json
from importlib.metadata import version
from pathlib import Path

import jsonschema

from slipway_server.doors.openapi import document
from slipway_server.doors.table import DOORS

KEPT = Path(__file__).parents[4] / "docs" / "reference" / "openapi.json"


def test_the_kept_document_is_what_the_doors_say() -> None:
    """``make generate`` writes it."""
    assert json.loads(KEPT.read_text()) == document(version("slipway-operator"))


def test_every_path_of_every_described_door_is_in_it() -> None:
    paths = document("1")["paths"]
    assert isinstance(paths, dict)
    for door in DOORS:
        described = {*door.infer, *door.server, *door.model} <= paths.keys()
        assert described == (door.form is not None)


def test_the_models_of_a_server_are_the_only_ones_in_its_document() -> None:
    paths = document("1", {"a": "r1", "b": "r1"})["paths"]
    assert isinstance(paths, dict)
    model, revision = paths["/v2/models/{model}/versions/{version}/infer"]["parameters"]
    assert (model["schema"]["enum"], revision["schema"]["enum"]) == (["a", "b"], ["r1"])
    assert "parameters" not in paths["/v2"]


def test_its_schemas_are_schemas() -> None:
    def schemas(node: object) -> list[object]:
        if isinstance(node, list):
            return [found for item in node for found in schemas(item)]
        if isinstance(node, dict):
            own = [node["schema"]] if "schema" in node else []
            return own + [found for item in node.values() for found in schemas(item)]
        return []

    found = schemas(document("1"))
    assert len(found) > 50
    for schema in found:
        jsonschema.Draft202012Validator.check_schema(schema)
