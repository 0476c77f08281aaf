import json

from slipway_operator.kube.http import encode


def test_a_body_is_encoded_byte_for_byte_as_go_encodes_it() -> None:
    body = {"uri": "s3://b/é?a=1&b=<2>\u2028", "list": [1, 2.5, None, True], "quote": 'a"b\\n'}
    expected = (
        '{"list":[1,2.5,null,true],"quote":"a\\"b\\\\n",'
        '"uri":"s3://b/é?a=1\\u0026b=\\u003c2\\u003e\\u2028"}'
    )
    assert encode(body) == expected.encode()
    assert json.loads(encode(body)) == body
