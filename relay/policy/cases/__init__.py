"""All facts on one recipient of one message, and what is decided from them. The door is `case`."""
