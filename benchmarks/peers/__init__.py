"""The systems that are compared: the relay, Postfix with OpenDKIM, Haraka with its dkim plugin, and a hop that only signs."""
