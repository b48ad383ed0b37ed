"""Sweep files: read and checked, with the line of every mistake; pure but for the reading."""
