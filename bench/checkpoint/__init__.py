"""Checkpoints: a trained model with everything that using it takes, in one file."""
