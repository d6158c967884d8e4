"""Many runs: the plans of ablations and sweeps, their execution, and their results."""
