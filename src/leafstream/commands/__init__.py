"""The commands, a file for each group; a file imports what it runs only when it runs it."""
