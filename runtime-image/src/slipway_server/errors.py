"""What can go wrong here, beside the three kinds of ``slipway.errors``.

With a request: ``Invalid`` is the client's fault, ``NotFound`` names what is not served, the rest
is below.
"""

from slipway.errors import Invalid, SlipwayError, Transient


class StorageDenied(Invalid):
    """The store refuses this pod: its credentials or its address are wrong."""


class Overloaded(Transient):
    """The queue is full: the client should come back."""


class DeadlineExpired(Transient):
    """The request waited or ran longer than it may."""


class NotReady(Transient):
    """The model is still loading, or the server is going away."""


class ModelFailed(SlipwayError):  # noqa: N818 - the kind is the name
    """The model itself failed on this input: the service is at fault, not the client."""


class NonFiniteOutput(ModelFailed):
    """The model answered NaN or infinity."""
