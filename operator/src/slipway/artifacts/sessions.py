"""How sessions of ONNX Runtime are opened: alike where a variant is timed and where it serves."""

from typing import Final

_SPIN_MICROSECONDS: Final = 50
_BOUNDED_FROM: Final = (1, 27)


def thread_entries(version: str) -> dict[str, str]:
    """Session entries for a run's threads: they spin a moment between operators, then sleep.

    Without spinning a thread sleeps through the operators it should share; without a bound it
    takes CPU from everything beside it (docs/decisions/0033).

    Args:
        version: of ONNX Runtime. Before 1.27 spinning has no bound, and is switched off.
    """
    bounded = tuple(int(part) for part in version.split(".")[:2]) >= _BOUNDED_FROM
    spinning = {"spin_duration_us": str(_SPIN_MICROSECONDS)} if bounded else {"allow_spinning": "0"}
    entries = {f"session.intra_op.{name}": value for name, value in spinning.items()}
    return entries | {"session.inter_op.allow_spinning": "0"}
