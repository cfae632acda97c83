"""Common mistakes: mistakes that one can make, trained and drawn."""
