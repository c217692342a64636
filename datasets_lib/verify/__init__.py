"""Whether a dataset on disk is whole, and what is wrong with it."""
