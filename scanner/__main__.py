"""`python -m scanner` is `ghostport`."""

from scanner.cli import main

raise SystemExit(main())
