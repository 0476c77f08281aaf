"""Transformations of an ONNX file, one per file; they run in a child process."""
