"""Loss-based prioritization: which samples of a training are back-propagated, a file a selector."""
