"""Apps that ship, held to what they promise."""
