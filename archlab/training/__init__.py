"""What a network does: data, the loop, recording, and the engine that dispatches runs."""
