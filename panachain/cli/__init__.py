"""The command line. It turns words into calls of the SDK and results into text; it decides nothing itself."""
