"""The tabs: a folder each, with everything of it.  They do not know each other."""
