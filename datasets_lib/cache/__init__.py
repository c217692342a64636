"""The decode cache: every image is decoded once per size."""
