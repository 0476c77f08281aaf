"""Whether this CPU may serve an artifact. Pure."""

from collections.abc import Set as AbstractSet

from slipway_server.served import ServedManifest


def unsuited(manifest: ServedManifest, flags: AbstractSet[str]) -> str | None:
    """Why not, with the remedy; ``None`` when it may.

    An INT8 variant that was measured where 8-bit products are summed exactly gives other answers
    where they saturate: quietly, and on some inputs only.

    Args:
        manifest: of the artifact.
        flags: of this CPU; empty when they cannot be read.
    """
    wanted = manifest.requires_any_cpu_flag
    if not wanted or flags & set(wanted):
        return None
    return (
        f"this CPU has none of {', '.join(wanted)}, but variant {manifest.variant} was measured "
        f"on {manifest.node_class} and its 8-bit products would saturate here: schedule "
        "the pods on such nodes, or run the optimization on nodes like this one"
    )
