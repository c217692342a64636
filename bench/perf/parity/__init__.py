"""Compare our models with anomalib's for the same weights and images."""
