"""Questions about the ledger: the engine that answers them, the questions, and answers that are kept."""
