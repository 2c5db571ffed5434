"""Every claim of the paper, of its readers and of its successors, measured and decided."""
