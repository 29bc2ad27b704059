"""When, and how much at a time: hours of the week, time zones, limits. The door is `limits`."""
