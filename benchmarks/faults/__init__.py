"""Planted faults and healthy networks: what archlab's verdicts find in them, and what they should."""
