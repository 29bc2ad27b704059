"""What leaves: tokens, duties, signatures, copies, reports. Pure."""
