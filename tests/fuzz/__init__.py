"""Readers given damaged files, programs given wrong command lines; see `tests.fuzz.soak` for many of them."""
