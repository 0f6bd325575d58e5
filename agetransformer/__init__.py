"""High-resolution face age editing."""
