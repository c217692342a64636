"""Anomaly detection by normalizing flows over frozen features: CFlow, FastFlow, CS-Flow, U-Flow."""
