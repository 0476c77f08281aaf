"""Documents that are hostile by their form; tests/fuzz has those that chance makes."""

from concurrent.futures import ThreadPoolExecutor

from slipway_server.protocol.v2_rest import V2Rest
from tests.fuzz.protocols import SEEDS, SIGNATURES, TARGETS


def test_every_target_starts_from_inputs_that_are_accepted() -> None:
    """Else the mutations would stay in the parsers' first lines."""
    for signature, seed in zip(SIGNATURES, SEEDS["json-v2"], strict=False):
        assert V2Rest(signature).decode(seed, None).feeds.keys() == {
            spec.name for spec in signature.inputs
        }
    assert SEEDS.keys() == TARGETS.keys()


def test_deep_and_wide_documents_cost_their_own_time_only() -> None:
    """Depth is refused before any recursion of ours; a million keys are read once."""
    deep = [b"[" * 1_000_000, b'{"inputs":' * 200_000, b'{"inputs":[{"data":' + b"[" * 900]
    wide = b"{" + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}"
    with ThreadPoolExecutor(1) as pool:
        for name in ("json-v2", "json-v1", "mindspore"):
            for document in (*deep, wide):
                pool.submit(TARGETS[name], document).result(timeout=20)
