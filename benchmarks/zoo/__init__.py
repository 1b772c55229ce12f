"""Networks of many libraries, from their configurations with random weights, and what archlab says of each."""
