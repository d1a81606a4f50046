"""ProntoSync: git for the databases of a chain of stores."""

__version__ = "0.1.0"
