"""OpenAI's API over the same runs and the same log."""
