"""Corrections of labels: reading, planning, carrying out, undoing."""
