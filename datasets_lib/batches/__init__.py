"""From decoded images to tensors on a device: whole sets, labeled splits, streams, textures."""
