"""Errors about images that a model cannot take, which the harness distinguishes from its own."""


class ImageSizeError(ValueError):
    """Images of a size that a model cannot take; the message says which sizes it takes."""


class TooFewImagesError(ValueError):
    """Fewer training images than a model needs; the message says how many it needs."""
