"""What a network is: shapes, parameters, cost and memory, layer by layer."""
