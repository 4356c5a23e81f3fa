"""Teach a class: one decision step by step, and attacks on a generated stream with what they cost."""
