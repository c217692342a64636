"""What models are benchmarked on: one file per dataset, one catalog, one decode cache."""
