"""The database: tables and one module of set-based statements per noun."""
