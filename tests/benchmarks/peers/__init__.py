"""What is measured: this program, and what a user would pick in its place."""
