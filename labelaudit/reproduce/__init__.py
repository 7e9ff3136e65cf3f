"""The papers' figures and tables, from a data folder."""
