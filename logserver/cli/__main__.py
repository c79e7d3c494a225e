"""`python -m logserver.cli`: the same as the installed command."""

import sys

from logserver.cli import main

if __name__ == "__main__":
    sys.exit(main())
