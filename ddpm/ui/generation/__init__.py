"""Samples for a page: what is asked for, the frames on the way, and the files they are kept in."""
