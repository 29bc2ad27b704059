"""The octets of a message: header fields, address lists, MIME parts, what encodes them. The door is `mime`."""
