"""Reverse Distillation: a frozen teacher, a bottleneck and a mirrored student."""
