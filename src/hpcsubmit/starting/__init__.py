"""The hpcsubmit.yaml that a project starts with."""
