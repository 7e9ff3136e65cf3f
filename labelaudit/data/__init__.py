"""Image folders: what is in them, and their pixels."""
