"""Operators: what happens to records before, beside and after the windows."""
