"""What takes more than one part of the package: audits, fits, retraining."""
