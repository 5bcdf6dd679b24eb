"""What outlives a process: conversations, in SQLite or PostgreSQL."""
