"""The drawing: an untrusted answer is worth looking at, and safe to look at."""
