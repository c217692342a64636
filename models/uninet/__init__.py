"""UniNet: two teachers, one of which adapts, an attention bottleneck and a shared student."""
