"""What every door offers, without any door: live, ready, metadata, infer."""

from collections.abc import Hashable
from typing import Final

from slipway_server.batch import Done, Job
from slipway_server.batcher import Batcher
from slipway_server.protocol.tensors import Array, InferRequest, Signature

PLATFORM: Final = "onnxruntime_onnx"


class Dataplane:
    """A loaded model."""

    platform: Final = PLATFORM

    def __init__(
        self, signature: Signature, batcher: Batcher, *, timeout: float, threads: int = 1
    ) -> None:
        self.signature = signature
        self._threads = threads
        self._batcher = batcher
        self._timeout = timeout
        names = signature.inputs
        self._first = names[0].name if names else ""
        self._shares = batcher.policy.max_rows > 1
        self._one_shape = all(-1 not in spec.shape[1:] for spec in names)
        self._many = len(names) > 1

    @property
    def queued(self) -> int:
        """Requests that wait for the model."""
        return self._batcher.queued

    def check_room(self, source: Hashable) -> None:
        """Refuse a request of ``source`` before it is decoded, if it has no chance.

        Raises:
            Overloaded: the queue is full.
        """
        self._batcher.check_room(source)

    def infer(
        self, request: InferRequest, now: float, done: Done, *, source: Hashable = None
    ) -> Job:
        """Run the model; ``done`` gets all outputs, or the error.

        Args:
            request: complete and checked by its codec.
            now: the loop's time.
            done: called once, on the loop, never from within this call.
            source: whose request it is: connections take turns.

        Returns:
            The job, for ``cancel``.

        Raises:
            Overloaded: the queue is full.
        """
        feeds = request.feeds
        size = 0
        for array in feeds.values():
            size += array.nbytes
        rows, key = self._sharing(feeds) if self._shares else (1, None)
        job = Job(feeds, rows, key, size, now + self._timeout, done, source)
        self._batcher.submit(job)
        return job

    def expire(self, now: float) -> None:
        """Answer requests whose deadline has passed."""
        self._batcher.expire(now)

    def metadata(self) -> dict[str, object]:
        """As ``/v2/models/{model}`` shows it, with what was learnt at warm-up."""
        signature, policy = self.signature, self._batcher.policy
        return {
            "name": signature.identity.name,
            "versions": [signature.identity.version],
            "platform": PLATFORM,
            "inputs": [spec.metadata() for spec in signature.inputs],
            "outputs": [spec.metadata() for spec in signature.outputs],
            "parameters": {
                "max_batch_rows": policy.max_rows,
                "threads": self._threads,
                "instances": policy.instances,
                "inline": policy.inline,
                "row_ms": round(policy.seconds * 1e3, 3),
            },
        }

    def close(self) -> None:
        """Free the worker."""
        self._batcher.close()

    def _sharing(self, feeds: dict[str, Array]) -> tuple[int, object]:
        """Rows of the request, and the key of requests that it can share a run with."""
        rows = feeds[self._first].shape[0]
        if self._many and any(array.shape[0] != rows for array in feeds.values()):
            return rows, None
        if self._one_shape:
            return rows, ()
        return rows, tuple(feeds[spec.name].shape[1:] for spec in self.signature.inputs)


def cancel(job: Job) -> None:
    """Nobody waits any more: a queued job is dropped, a running one is not answered."""
    job.done = None
