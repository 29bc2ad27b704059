"""Where mail goes: transactions, pools, delivery, provider profiles."""
