"""report.html: one file to look at an audit, review its suspicious labels, and take the corrections away."""
