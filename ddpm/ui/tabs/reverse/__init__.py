"""Reverse: from noise to digits, step by step; saved, opened, and gone on with."""
