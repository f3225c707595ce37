"""The audit trail: its words, what it never shows, and how it is kept from being changed unseen."""
