"""Policy files as people write them, and the set that is compiled of them. The door is `parse`."""
