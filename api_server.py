"""`lofi serve` as a script: python api_server.py --help."""

import sys

from lofi.cli import main

sys.argv.insert(1, "serve")
main()
