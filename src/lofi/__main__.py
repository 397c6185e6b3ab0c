"""`python -m lofi` is `lofi`."""

from lofi.cli import main

main()
