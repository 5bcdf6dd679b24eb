"""The ways in: HTTP routes and what they need, over runs and the log."""
