"""`lofi generate` as a script: python scripts/04_generate.py --help."""

import sys

from lofi.cli import main

sys.argv.insert(1, "generate")
main()
