"""What commands share: options, output, progress, and the parts of what they show."""
