"""The database itself: connections, transactions, and what differs between PostgreSQL and SQLite."""
