"""The harness: how cases are described, run, measured, stored and reported."""
