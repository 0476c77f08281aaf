"""Training with the model itself as the teacher: ONNX in, ONNX out, PyTorch between. One owner."""
