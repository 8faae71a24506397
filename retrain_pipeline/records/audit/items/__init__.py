"""The 28 items of the ML Test Score, a function each: what it looks at, and else what would give it."""
