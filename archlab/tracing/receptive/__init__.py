"""Receptive fields: which input positions each output position sees."""
