"""Training of weights that models of the zoo start from."""
