"""What a person sees: the window, its panels, films of it, and the ledger of human scores."""
