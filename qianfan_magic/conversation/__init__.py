"""Conversations: their turns, how they are trimmed, recorded and restored."""
