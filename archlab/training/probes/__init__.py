"""Probes of a network's layers in the middle of its training, every k steps.

All look at the images and the loss that `archlab.training.probing` describes, and leave weights, buffers, gradients and
random states as they were, bit for bit.
"""
