"""The mailbox collector: reads what comes back (refusals, bounces, complaints) and lets it take effect."""
