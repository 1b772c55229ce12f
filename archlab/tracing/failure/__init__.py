"""What is said of a forward pass that failed: where, why, and which sizes would fit."""
