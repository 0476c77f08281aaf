"""A command's connection to a cluster: client, namespace and output."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway import contract
from slipway.errors import Invalid, NotFound
from slipway_cli.output import Output, load_yaml
from slipway_operator.kube.client import KubeClient
from slipway_operator.kube.http import load_configuration
from slipway_operator.plan.objects import Object, Ref


@dataclass(frozen=True, slots=True)
class Session:
    """What a cluster command works with."""

    client: KubeClient
    namespace: str
    output: Output

    async def resource(self, name: str) -> Object:
        """The ModelDeployment.

        Raises:
            NotFound: there is none of that name; the message says where it was looked for.
        """
        try:
            return await self.client.get(Ref(contract.KIND, self.namespace, name))
        except NotFound as error:
            raise NotFound(
                f"no ModelDeployment '{name}' in namespace '{self.namespace}' "
                "(slipway get -A lists all)"
            ) from error


@asynccontextmanager
async def connect(
    *, kubeconfig: str | None, context: str | None, namespace: str | None, output: Output
) -> AsyncIterator[Session]:
    """Open a session as kubectl would.

    Raises:
        Invalid: no usable kubeconfig.
    """
    configuration = await load_configuration(kubeconfig, context)
    async with KubeClient(configuration) as client:
        found = namespace or _current_namespace(kubeconfig, context)
        yield Session(client, found, output)


def _current_namespace(kubeconfig: str | None, context: str | None) -> str:
    """The namespace of the current context, as kubectl has it."""
    paths = kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    for part in paths.split(os.pathsep):
        path = Path(part)
        if not path.is_file():
            continue
        try:
            documents = load_yaml(path.read_text())
        except (ValueError, OSError) as error:
            raise Invalid(f"{path} is no readable kubeconfig") from error
        content: dict[str, Any] = documents[0] if documents else {}
        wanted = context or content.get("current-context")
        for entry in content.get("contexts") or []:
            if entry.get("name") == wanted:
                return (entry.get("context") or {}).get("namespace") or "default"
    return "default"
