"""Checkpoints: a trained model with everything needed to use it, in one file."""
