"""Mail that came in: bounces, complaints, refusals in words. The door is `letters`."""
