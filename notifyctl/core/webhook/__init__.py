"""Webhooks: which events there are, what is said of them, how that is signed, when it is said again, and to whom."""
