"""Corrections of a review, and what they do to a data set: the plan, the moves and their journal, a corrected copy."""
