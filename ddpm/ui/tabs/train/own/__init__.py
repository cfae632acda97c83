"""Train on pictures of one's own."""
