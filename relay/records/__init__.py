"""What happened: append-only, hash-chained, always local to the node."""
