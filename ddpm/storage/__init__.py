"""What lies on a disk: checkpoint folders, model cards, and how a file is written whole."""
