"""`python -m scanner` is `ghostport`."""

from scanner.cli import command

command()
