"""Download archives and unpack them into datasets."""
