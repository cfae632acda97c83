"""What tests share, and the benchmarks with them."""
