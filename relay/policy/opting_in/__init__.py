"""Sign-up forms, whom they may ask to confirm, and by which stream. The door is `opt_in`."""
