"""The run folder and the cache: everything on disk."""
