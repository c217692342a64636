"""Export of checkpoints to files that other programs run: ONNX, and torch.export's own."""
