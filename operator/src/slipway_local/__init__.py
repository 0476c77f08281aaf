"""A cluster in this process: objects with watches, the controllers Slipway relies on, and pods.

Promise: whoever speaks ``slipway_operator.kube.cluster.Cluster`` cannot tell it from a Kubernetes
API in what Slipway uses of one. It claims no conformance beyond that. Time comes from a ``Clock``;
with a virtual one and simulated pods a rollout of half an hour takes milliseconds.
"""
