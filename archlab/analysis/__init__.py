"""What the runs mean, from records alone: statistics, comparison, verdicts."""
