"""`lofi dataset` as a script: python scripts/02_build_dataset.py --help."""

import sys

from lofi.cli import main

sys.argv.insert(1, "dataset")
main()
