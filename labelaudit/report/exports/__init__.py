"""An audit in the formats of other tools, and the table of these."""
