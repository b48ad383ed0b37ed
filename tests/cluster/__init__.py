"""A real multi-node Slurm on one machine, for the tests that nothing less can make."""
