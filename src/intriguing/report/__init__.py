"""Reports drawn from a results folder alone: tables, figures, and one self-contained page."""
