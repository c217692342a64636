"""Scripts that time parts of the harness, side by side with the alternatives."""
