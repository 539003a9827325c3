"""What several runs show together, in words."""
