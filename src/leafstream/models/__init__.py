"""Model files: what is in them, which ones are known by name, and how they get here."""
