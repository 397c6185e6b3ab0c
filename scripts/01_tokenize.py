"""`lofi tokenize` as a script: python scripts/01_tokenize.py --help."""

import sys

from lofi.cli import main

sys.argv.insert(1, "tokenize")
main()
