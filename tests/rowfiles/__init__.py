"""Files of rows: what stands in them is read as it stands there, and what is broken is named by its place."""
