"""The words that Slipway's programs share: API types, wire contract, artifact layout and store.

Promise: importing it needs pydantic only, and does nothing. No kopf, no Kubernetes client, no
ONNX Runtime here; boto3 and obstore live in one file each and are imported when a store is opened.
"""
