"""Decoded images as tensors on a device: whole sets, labeled splits, streams, textures."""
