"""The tables, their versions, and whether a database has them."""
