"""Models for other programs: the networks as ONNX files."""
