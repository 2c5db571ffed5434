"""What is run in processes of its own is not to be imported in search of doctests."""

collect_ignore = ["accelerator.py", "on_accelerator.py", "launches_on_accelerator.py"]
