"""Training of table methods: the backend ``tabular``."""
