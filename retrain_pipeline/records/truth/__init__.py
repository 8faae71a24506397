"""Whether what is written is true: sixteen checks, each of which names thing, place and mend."""
