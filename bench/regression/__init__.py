"""Regressions of quality, speed and memory: found the same night, or said to be undetectable."""
