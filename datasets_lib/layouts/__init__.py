"""Folder layouts and what a reader returns from them, before any image is decoded."""
