"""The cluster's certificates, keys and tokens, made with the openssl program."""

import secrets
from pathlib import Path

from tests.cluster.shell import run

_EMPTY_CONFIGURATION = "[req]\ndistinguished_name = dn\n[dn]\n"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

# Name and groups of each user that shows a token.
USERS = {
    "admin": ("slipway:admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    "proxy": ("system:kube-proxy", ""),
    "kubelet": ("system:node:{node}", "system:nodes"),
}


def make(folder: Path, *, node: str, hosts: list[str]) -> dict[str, str]:
    """Writes all certificates and keys of a cluster, and the API server's file of tokens.

    Args:
        folder: Where they go.
        node: The node's name, which its user carries.
        hosts: What the API server is called: `IP:10.96.0.1`, `DNS:localhost` and so on.

    Returns:
        The token of each user in `USERS`.
    """
    folder.mkdir(mode=0o700)
    (folder / "openssl.cnf").write_text(_EMPTY_CONFIGURATION)
    _authority(folder, "ca")
    _authority(folder, "front-proxy-ca")
    names = f"subjectAltName={','.join(hosts)}"
    _leaf(folder, "apiserver", "ca", "/CN=kube-apiserver", "serverAuth", names)
    _leaf(folder, "kubelet-client", "ca", "/O=system:masters/CN=kube-apiserver", "clientAuth")
    _leaf(folder, "front-proxy-client", "front-proxy-ca", "/CN=front-proxy-client", "clientAuth")
    private, public = folder / "service-account.key", folder / "service-account.pub"
    run(["openssl", "genrsa", "-out", private, "2048"])
    run(["openssl", "rsa", "-in", private, "-pubout", "-out", public])
    tokens = {user: secrets.token_hex(24) for user in USERS}
    (folder / "tokens.csv").write_text("".join(_row(user, tokens[user], node) for user in USERS))
    return tokens


def _row(user: str, token: str, node: str) -> str:
    name, group = USERS[user]
    return f'{token},{name.format(node=node)},{user},"{group}"\n'


def _authority(folder: Path, name: str) -> None:
    extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
    _certificate(folder, name, f"/CN=slipway-{name}", extensions, [])


def _leaf(folder: Path, name: str, issuer: str, subject: str, usage: str, *more: str) -> None:
    extensions = ["basicConstraints=critical,CA:FALSE", f"extendedKeyUsage={usage}", *more]
    signer: list[str | Path] = ["-CA", folder / f"{issuer}.crt", "-CAkey", folder / f"{issuer}.key"]
    _certificate(folder, name, subject, extensions, signer)


def _certificate(
    folder: Path, name: str, subject: str, extensions: list[str], signer: list[str | Path]
) -> None:
    run(
        ["openssl", "req", "-x509", *_NEW_KEY, "-days", "365", "-subj", subject]
        + ["-config", folder / "openssl.cnf", *signer]
        + [word for extension in extensions for word in ("-addext", extension)]
        + ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.crt"]
    )
