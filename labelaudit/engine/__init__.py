"""Networks, inputs and the one training loop."""
