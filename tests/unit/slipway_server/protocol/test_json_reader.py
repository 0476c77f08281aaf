import pytest

from slipway.errors import Invalid
from slipway_server.protocol.json_tensors import JsonReader


def told(reader: JsonReader, text: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        reader.read(text, lambda _, __: None, None)
    return str(caught.value)


def test_what_is_said_of_broken_json_does_not_depend_on_documents_before() -> None:
    # Found by fuzzing: a kept parser looks at what the last document left behind the end.
    reader, broken = JsonReader(), b"[[1]"
    reader.read(b"[0,1,2,3,4,5,6,7,8,9]", lambda _, __: None, None)
    assert told(reader, broken) == told(JsonReader(), broken)
    assert "improper structure" in told(reader, broken)


def test_a_reader_goes_on_after_broken_json() -> None:
    reader = JsonReader()
    told(reader, b"[")
    assert reader.read(b'{"a": 7}', lambda root, key: int(root[key]), "a") == 7
