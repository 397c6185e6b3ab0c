"""Links for programs that use the studio from outside."""
