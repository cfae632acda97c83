"""The inner tab The network."""
