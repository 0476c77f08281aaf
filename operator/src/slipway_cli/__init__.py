"""The program ``slipway``, also ``kubectl slipway``: what people type.

Promise: it decides nothing about deployments; it reads, shows, and sets the annotations by which
people ask for things.
"""
