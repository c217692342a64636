"""Dinomaly: a transformer that reconstructs the features of a foundation model, loosely."""
