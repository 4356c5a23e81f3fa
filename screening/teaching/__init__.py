"""What a class looks at: one decision step by step, and attacks on a generated stream with what they cost."""
