"""ONNX to other frameworks' files, each held numerically to the ONNX file that it was made from."""
