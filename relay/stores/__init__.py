"""What is remembered: one set of contracts, SQLite and Redis behind it."""
