"""`python -m leafstream`."""

from leafstream.cli import main

main()
