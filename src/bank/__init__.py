"""The bank: an application of mainstem, and its acceptance test."""
