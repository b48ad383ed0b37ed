"""The virtual environments of a project: found ready, or built once under their final path."""
