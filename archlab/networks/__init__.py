"""What can be built: the networks of the course and of the papers."""
