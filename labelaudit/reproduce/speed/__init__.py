"""How fast the parts are, against what one would write by hand: ratios that anyone can measure again.

    python -m labelaudit.reproduce.speed NAME …

Every figure that counts is a ratio of two things measured in the same run, taking turns, so that a machine that is
slower or busy changes both. One module a benchmark; each has ``add_arguments`` and ``measure``.
"""
