"""Table 1 of the AUL paper on a data folder: every robust-training method with the same network and budget."""
