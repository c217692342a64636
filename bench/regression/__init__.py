"""Regression detection: baselines, plans of nights, confirmation by fresh runs, alarms."""
