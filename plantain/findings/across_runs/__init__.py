"""What several runs show together."""
