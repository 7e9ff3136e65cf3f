"""What a person or a pipeline reads of an audit."""
