"""What is benchmarked: one file per model, one catalog of every named configuration."""
