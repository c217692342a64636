"""From decoded images to tensors on a device: whole sets, labelled splits, streams, textures."""
