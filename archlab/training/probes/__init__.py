"""Probes of a network: its layers and its loss in the middle of a training, and its landscape after it.

All look at the images and the loss that `surface` describes, and leave weights, buffers, gradients and random states as
they were, bit for bit.
"""
