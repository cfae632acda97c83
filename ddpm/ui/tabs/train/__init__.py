"""Train: a network trained while one watches, and kept."""
