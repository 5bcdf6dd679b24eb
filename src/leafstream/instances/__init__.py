"""Named servers that outlive the terminal: one supervisor process for each, one log, one state."""
