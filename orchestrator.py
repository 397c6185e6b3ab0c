"""`lofi orchestrate` as a script: python orchestrator.py --mode single|batch|daily --help."""

import sys

from lofi.cli import main

sys.argv.insert(1, "orchestrate")
main()
