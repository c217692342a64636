"""The commands of ``python -m bench``, one file each; heavy imports wait until a command runs."""
