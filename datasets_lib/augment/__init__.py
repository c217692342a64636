"""Augmentation in batches on the device, and synthetic anomalies; `catalog` names them all."""
