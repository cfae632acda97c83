"""Break it: mistakes that one can make, trained and drawn."""
