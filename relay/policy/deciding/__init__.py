"""Cases are decided: rules, hours and pauses; and the limits that a copy is charged to. The door is `decide`."""
