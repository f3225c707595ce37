"""Files of rows: read as a stream, a row at a time, and written again where rows are rejected."""
