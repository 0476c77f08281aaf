"""Readers of trained models, one per source format: each ends in an ONNX file."""
