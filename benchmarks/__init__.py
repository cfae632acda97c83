"""Measurements of the page and of a server under load: python -m benchmarks.load, benchmarks.page_smoothness."""
