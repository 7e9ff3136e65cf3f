"""The command line; no maths."""
