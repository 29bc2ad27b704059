"""The running relay: supervisor, workers, reload, drain."""
