"""The command line: one small file per verb. Nothing here is imported by the rest of the package."""
