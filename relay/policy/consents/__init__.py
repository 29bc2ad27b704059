"""What people agreed to: the ledger's events and what stands of them. The door is `consent`."""
