"""The log: topics, partitions, offsets, consumer groups."""
