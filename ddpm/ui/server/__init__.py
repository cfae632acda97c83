"""The server below the page: who computes when, what it allows, where it listens.  It knows nothing of diffusion."""
