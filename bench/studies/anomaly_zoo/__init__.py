"""Study 3: anomaly-detection models behind one interface."""
