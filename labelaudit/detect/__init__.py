"""From loss curves to verdicts: numpy only."""
