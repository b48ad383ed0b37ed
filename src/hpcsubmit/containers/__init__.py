"""Images of the project for container jobs: their definition, and their building."""
