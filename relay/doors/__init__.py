"""Where the outside comes in: SMTP, HTTP."""
