"""The three kinds of error. Whatever is neither of the first two is a bug and propagates."""


class SlipwayError(Exception):
    """An expected failure; its text is one sentence for the user."""


class Invalid(SlipwayError):  # noqa: N818 - the kind is the name
    """The user must act: the same input fails again, so nobody retries it."""


class NotFound(Invalid):
    """What was named does not exist (an object, a key, a file)."""


class Transient(SlipwayError):  # noqa: N818 - the kind is the name
    """The world is at fault for now: retry with backoff.

    Attributes:
        retry_after: seconds that the other side asked us to wait, if it did.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Conflict(Transient):
    """Somebody else wrote first: read again, then decide again."""
