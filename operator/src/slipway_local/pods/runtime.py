"""What runs pods, as the cluster sees it; and what runs containers, as the kubelet sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from slipway.errors import Invalid
from slipway_local.objects import Objects
from slipway_local.pods.volumes import Mount
from slipway_operator.plan.objects import Object, Ref


class ImageMissing(Invalid):
    """No such image can be had."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a pod uses now: cores and bytes."""

    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended. ``code`` is 128 plus the number for a signal."""

    code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One start of a container, counted from 0."""

    attempt: int
    mounts: tuple[Mount, ...] = ()


class PodRuntime(Protocol):
    """Brings what runs in line with the Pod objects, and reports it in their status."""

    def on_change(self, wake: Callable[[], None]) -> None:
        """Have ``wake`` called whenever something happens that a step should see."""

    def open(self) -> None:
        """Get ready. Must be called once, before the first step."""

    def step(self, objects: Objects, now: datetime) -> list[str]:
        """One look at every pod; never waits. Says what it did."""

    def usage(self, pod: Ref) -> Usage | None:
        """Resources that a pod uses; None when nobody knows yet."""

    def logs(self, pod: Ref, container: str) -> str:
        """What a container wrote, of all its runs.

        Raises:
            NotFound: no such pod or container.
        """

    async def close(self) -> None:
        """End everything that runs, by force, and clean up."""


class Engine(Protocol):
    """Starts and ends containers. Nothing here waits; ``wake`` is called when something changed."""

    wake: Callable[[], None]

    def open(self) -> None:
        """Get ready."""

    def address(self, pod: Object) -> str:
        """The pod's own IP address, from now until ``release``."""

    def start(self, pod: Object, container: Object, run: Run) -> None:
        """Start a container.

        Args:
            pod: with its address in ``status.podIP``.
            container: its part of the pod's spec.
            run: which run, and what it sees of the pod's volumes.

        Raises:
            ImageMissing: the image cannot be had.
            Invalid: it cannot run as it is written.
            Transient: it may start later.
        """

    def poll(self, pod: Object, container: str) -> Exit | None:
        """How the latest run ended; None while it lasts."""

    def stop(self, pod: Object, container: str, *, force: bool) -> None:
        """Ask a run to end (SIGTERM), or end it (SIGKILL)."""

    def probe(
        self, pod: Object, container: str, action: Object, report: Callable[[bool], None]
    ) -> None:
        """Run a probe of a container and report later or at once.

        Args:
            pod: with its address in ``status.podIP``.
            container: its name.
            action: the probe, its port as a number.
            report: called once with whether it succeeded.
        """

    def release(self, pod: Object) -> None:
        """Forget a pod that ended: its address and volumes."""

    def usage(self, pod: Object) -> Usage | None:
        """Resources used now."""

    def logs(self, pod: Object, container: str) -> str | None:
        """What a container wrote; None when it never ran."""

    async def close(self) -> None:
        """End everything, by force."""
