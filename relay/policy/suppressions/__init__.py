"""Who must not be written to, and when an address is known to be dead. The door is `suppression`."""
