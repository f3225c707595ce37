"""Files of rows, without the reading: what a row is, what its columns mean, and what makes two rows the same."""
