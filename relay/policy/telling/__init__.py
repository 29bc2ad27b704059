"""What people are told of a set: sentences, differences, its schema, what its rules look at. The door is `show`."""
