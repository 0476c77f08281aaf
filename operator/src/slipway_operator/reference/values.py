"""The chart's page: a table of its values, read from the comments of ``values.yaml``. Pure."""

from collections.abc import Iterator

from slipway_operator.reference.pages import HEADER, table

_HEAD = """# Helm chart of Slipway

```
helm install slipway charts/slipway --namespace slipway-system --create-namespace \\
  --set storage.defaults.storageUri=s3://BUCKET/PREFIX --set storage.defaults.secretName=store
```

- Needs Kubernetes 1.30 or later, and Helm 3.8 or later.
- The CRD is part of the chart, so that `helm upgrade` upgrades it, and stays at `helm uninstall`,
  so that models stay. A second release in the same cluster sets `crds.install=false`. A release of
  another name that takes a kept CRD over is installed with `--take-ownership`.
- With `watchNamespaces` the operator has no right outside these namespaces. With
  `crds.install=false`, too, the chart makes no object outside a namespace.
- Argo CD learns health and actions from `argocd/`: see `docs/argocd.md`.

## Values
"""


def chart_page(values: str) -> str:
    """The chart's README.

    Args:
        values: the text of ``values.yaml``: a value's comment is above it.
    """
    rows = [(f"`{path}`", f"`{value}`", text) for path, value, text in _entries(values)]
    return "\n".join([HEADER, _HEAD, *table(("Value", "Default", "Meaning"), rows), ""])


def _entries(values: str) -> Iterator[tuple[str, str, str]]:
    """Path, default and comment of every value; a comment on a group goes to its first value."""
    parents: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in values.splitlines():
        text = line.strip()
        if not text or line.startswith("#  "):  # an example
            if not text:
                comment = []
            continue
        if text.startswith("#"):
            comment.append(text.lstrip("# "))
            continue
        indent = len(line) - len(line.lstrip())
        while parents and parents[-1][0] >= indent:
            parents.pop()
        key, _, value = text.partition(":")
        value, _, beside = value.strip().partition(" # ")
        parents.append((indent, key))
        if value:
            told = " ".join([*comment, *([beside] if beside else [])])
            yield ".".join(name for _, name in parents), value, told
            comment = []
