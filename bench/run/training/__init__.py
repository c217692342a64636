"""Training: the loop, objectives, precision, CUDA graphs and compilation."""
