"""`lofi train` as a script: python scripts/03_train.py --help."""

import sys

from lofi.cli import main

sys.argv.insert(1, "train")
main()
