"""Folder layouts, and the samples that readers find in them before decoding."""
