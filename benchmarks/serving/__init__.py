"""The inference server against raw ONNX Runtime and against its peers, as ratios of one run."""
