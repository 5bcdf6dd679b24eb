"""From model text to events: sans-I/O, a file a step."""
