"""What the methods compute, as functions of arrays: no state, no files, no devices."""
