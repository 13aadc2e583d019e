"""What is done beside training: hooks are functions from a `Report` to a `Stop` or None."""
