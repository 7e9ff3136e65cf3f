"""Robust retraining on a noisy folder."""
