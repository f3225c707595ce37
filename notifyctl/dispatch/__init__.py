"""The dispatch loop: claim, gate, send, record."""
