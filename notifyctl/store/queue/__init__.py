"""The queue of notifications: inserting, claiming, recording results, and what follows from each change."""
