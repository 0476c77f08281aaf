"""What a word is to scikit-learn's text vectorisers, said as ONNX Runtime's tokenizer takes it."""

from collections.abc import Iterable
from typing import Any, Final

# skl2onnx takes runs of ASCII letters, single ones too: words with other letters fell apart, and
# pairs of words were other pairs. RE2, which ONNX Runtime asks, knows letters and numbers by class.
_PATTERNS: Final = {
    r"(?u)\b\w\w+\b": r"[\p{L}\p{N}_]{2,}",  # scikit-learn's own
    r"\b\w\w+\b": r"[\p{L}\p{N}_]{2,}",
    r"(?u)\b\w+\b": r"[\p{L}\p{N}_]+",
    r"\b\w+\b": r"[\p{L}\p{N}_]+",
    r"\w+": r"[\p{L}\p{N}_]+",
}


def options_of(parts: Iterable[Any]) -> dict[int, dict[str, str]]:
    """skl2onnx's options for the vectorisers among an estimator and its parts, by identity."""
    return {
        id(part): {"tokenexp": _PATTERNS[part.token_pattern]}
        for part in parts
        if getattr(part, "analyzer", None) == "word"
        and getattr(part, "token_pattern", None) in _PATTERNS
    }
