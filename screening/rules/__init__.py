"""Rules beside the net: readable conditions that flag, raise or silence a transaction."""
