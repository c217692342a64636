"""The commands of ``python -m bench``, one file each; what they need is imported when they run."""
