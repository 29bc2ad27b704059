"""Messages that a set is tried on before it comes into force. The door is `rehearsal`."""
