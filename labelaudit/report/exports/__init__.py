"""An audit in the formats of other tools: a file a format, and the table of formats."""
