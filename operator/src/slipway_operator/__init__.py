"""The control plane: watches ModelDeployments and brings their children to what they ask for.

Promise: one reconcile, one writer per object; every decision is made in ``plan``, which is pure.
"""
