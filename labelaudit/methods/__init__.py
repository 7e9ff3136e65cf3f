"""Robust training, a file a method."""
