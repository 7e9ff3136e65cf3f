"""What a review is worth: audit, review, relabel, audit again: ``labelaudit reproduce relabeling``."""
