"""The benchmark: what a shop's day costs with this program, and with what a user might pick in its place."""
