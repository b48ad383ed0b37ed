"""Sweeps: many trials of one program."""
