"""All traffic with a Kubernetes API, as plain dicts, behind the Protocol ``Cluster``. No policy."""
