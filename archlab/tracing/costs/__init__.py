"""What operations cost: formulas of shapes, and the registry that finds them by the operation's name."""
