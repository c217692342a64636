"""Features of frozen backbones, computed once and shared."""
