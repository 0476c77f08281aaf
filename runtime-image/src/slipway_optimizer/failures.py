"""Expected failures of a step, with the CamelCase reason that status shows."""

from slipway.errors import Invalid, Transient


class Refused(Invalid):
    """The user must act.

    Attributes:
        reason: CamelCase, for instance ``DatasetInvalid``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Unreachable(Transient):
    """A store did not answer as it should.

    Attributes:
        reason: CamelCase, for instance ``StorageUnreachable``.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
