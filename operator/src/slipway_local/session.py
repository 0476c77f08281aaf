"""Local mode put together: the running cluster, and the same operator loop over it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from slipway import contract
from slipway.errors import NotFound
from slipway_local.cluster import RunningCluster
from slipway_operator.control.manager import Manager, cancel_all
from slipway_operator.kube.store import Store
from slipway_operator.plan.config import Config, DefaultArtifacts, Images
from slipway_operator.plan.objects import Object, Ref, ref_of
from slipway_operator.telemetry.metrics import OperatorMetrics
from slipway_operator.telemetry.poller import Poller

IMAGES: Final = Images(
    server="slipway-server:local",
    optimizer="slipway-optimizer:local",
    optimizer_classic="slipway-optimizer-classic:local",
    optimizer_torch="slipway-optimizer-torch:local",
    optimizer_tensorflow="slipway-optimizer-tensorflow:local",
    optimizer_mindspore="slipway-optimizer-mindspore:local",
    server_openvino="slipway-server-openvino:local",
    optimizer_openvino="slipway-optimizer-openvino:local",
    server_cuda="slipway-server-cuda:local",
    optimizer_cuda="slipway-optimizer-cuda:local",
)


@dataclass(frozen=True, slots=True)
class LocalSession:
    """A cluster in this process, with Slipway installed."""

    cluster: RunningCluster

    async def apply(self, objects: list[Object]) -> None:
        """As ``kubectl apply --server-side``; namespaces are made as needed.

        Raises:
            Invalid: an object is refused.
        """
        for obj in objects:
            await self._ensure_namespace(obj["metadata"]["namespace"])
            await self.cluster.api.apply(obj)

    async def resource(self, namespace: str, name: str) -> Object:
        """A ModelDeployment.

        Raises:
            NotFound: there is none.
        """
        return await self.cluster.api.get(Ref(contract.KIND, namespace, name))

    async def annotate(self, ref: Ref, key: str, value: str) -> None:
        """Set an annotation: how people ask for promote, abort and retry."""
        await self.cluster.api.patch(ref, {"metadata": {"annotations": {key: value}}})

    async def _ensure_namespace(self, name: str) -> None:
        ref = Ref("Namespace", "", name)
        try:
            await self.cluster.api.get(ref)
        except NotFound:
            await self.cluster.api.create(
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ref.name}}
            )


@asynccontextmanager
async def local_session(
    run_dir: Path, *, images: Images = IMAGES, scaling_period: float = 15.0
) -> AsyncIterator[LocalSession]:
    """Start everything; leaving ends every process that it started.

    Args:
        run_dir: folder for artifacts and logs.
        images: names that stand for the programs of this installation.
        scaling_period: seconds between two looks of an autoscaler.

    Raises:
        Transient: this machine's loopback network cannot be used.
    """
    known = frozenset(images.all)
    async with RunningCluster(run_dir, images=known, scaling_period=scaling_period) as cluster:
        store = Store()
        poller = Poller(store)
        manager = Manager(
            cluster.api,
            store,
            config=Config(
                images=images,
                default_artifacts=DefaultArtifacts(_artifacts(run_dir)),
                cluster_domain="",
                http_port=cluster.listen_port(80),
                allow_files=True,
                scale_down_delay=2.0,
            ),
            windows=poller,
            metrics=OperatorMetrics(),
        )
        polling = asyncio.create_task(poller.run(), name="poller")
        manager.leading.set()
        await manager.start(watch_resources=True)
        try:
            yield LocalSession(cluster)
        finally:
            await manager.stop()
            await cancel_all([polling])


def _artifacts(run_dir: Path) -> str:
    return f"file://{run_dir.resolve() / 'artifacts'}"


def names(objects: list[Object]) -> list[Ref]:
    """The ModelDeployments among objects."""
    return [ref_of(obj) for obj in objects if obj["kind"] == contract.KIND]
