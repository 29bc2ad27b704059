"""What a rule is: the tables that people write, expressions, duties. The door is `rule`."""
