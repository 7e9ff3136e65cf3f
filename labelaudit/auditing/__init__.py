"""The audit of a folder of images: plan, probe, fit, results."""
