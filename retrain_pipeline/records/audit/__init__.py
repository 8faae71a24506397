"""What a scheduled look over a model's records finds: overdue, dead, outdated, private, and how well it is tested."""
