"""Batched augmentation on the device and synthetic anomalies; `catalog` lists them."""
