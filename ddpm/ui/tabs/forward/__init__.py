"""Forward: noise added, at once or step by step, taken away again, and what goes wrong."""
