"""What people read of a message, and the form in which words are searched. The door is `content`."""
