"""The one error of the Python interface."""


class TrainingError(Exception):
    """Something asked of `train` cannot be done; the message says what to change."""
