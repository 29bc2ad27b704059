"""The checks that rules run, one file per subject. Pure."""
