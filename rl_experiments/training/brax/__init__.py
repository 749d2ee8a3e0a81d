"""Training with Brax's PPO: the backend ``brax``."""
