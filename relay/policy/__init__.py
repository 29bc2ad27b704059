"""What may be sent: policy sets, cases, rulings. Pure."""
