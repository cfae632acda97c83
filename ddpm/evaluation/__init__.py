"""How good a model is: its losses, what the classifiers say of its pictures, and what both take on this machine."""
