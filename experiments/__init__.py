"""Many runs: what an ablation or a sweep trains, where it goes, and what comes of it."""
