"""What a close look at a variant found. Pure."""

from slipway.wire import WireModel


class Check(WireModel):
    """One property that was tried; ``passed`` is ``None`` where it does not apply."""

    name: str
    passed: bool | None
    detail: str


def failed(checks: tuple[Check, ...]) -> tuple[str, str] | None:
    """Reason and sentence for the first that failed."""
    for check in checks:
        if check.passed is False:
            return f"{check.name}Unstable", check.detail
    return None
