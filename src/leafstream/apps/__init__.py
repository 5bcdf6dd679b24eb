"""Assistants that ship with leafstream, each declared as a user would declare one."""
