"""The relay command, one file per group of verbs, thin."""
