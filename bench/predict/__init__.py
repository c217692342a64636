"""Prediction with saved models: files in, scores, labels and maps out."""
