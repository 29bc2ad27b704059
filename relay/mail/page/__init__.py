"""HTML as people see it: what styles hide, how it nests, where its links lead. The door is `visible`."""
