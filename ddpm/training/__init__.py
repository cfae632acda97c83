"""Training: the loop, where it stands between two steps, and the optimiser."""
