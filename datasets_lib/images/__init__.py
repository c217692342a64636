"""Decoding of image files to uint8 pixels."""
