"""A trace held against torchinfo."""
