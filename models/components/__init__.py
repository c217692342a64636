"""Parts that several models share: backbone, weights, statistics, nearest neighbors, maps."""
