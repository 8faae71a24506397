"""A version with all that speaks for it, in one file that verifies without any store."""
