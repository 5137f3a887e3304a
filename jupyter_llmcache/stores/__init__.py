"""Where entries are kept: one file a backend, one line in the registry."""
