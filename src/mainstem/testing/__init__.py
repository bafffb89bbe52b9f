"""What applications and adapters are tested with."""
