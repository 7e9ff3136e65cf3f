"""When loss-based prioritization fails, measured on a data folder: ``labelaudit reproduce prioritization``."""
