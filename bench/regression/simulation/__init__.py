"""Simulated nights, on which the statistics of regressions must keep their promises."""
