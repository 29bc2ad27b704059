"""What a message is: mailboxes, envelope, message, replies. Pure."""
