"""What knows nothing of diffusion: threads, a stopwatch, the version."""
