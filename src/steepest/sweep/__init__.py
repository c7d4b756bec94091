"""Many runs: composing, launchers, tuning, the record of a sweep, its results and its report."""
