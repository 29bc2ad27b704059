"""compliance-relay: an SMTP submission proxy that enforces e-mail compliance at the moment of sending."""

__version__ = "0.1.0"
