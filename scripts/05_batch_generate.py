"""`lofi batch` as a script: python scripts/05_batch_generate.py --help."""

import sys

from lofi.cli import main

sys.argv.insert(1, "batch")
main()
